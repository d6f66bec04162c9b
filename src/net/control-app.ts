/**
 * The control API as a Hono application: one handler per route of the protocol, all of them behind
 * the one middleware that says who is calling. A route without a handler does not compile.
 * In front of it are the two routes by which members under one federation root become peers.
 */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { z } from "zod";
import { decodeMessage } from "../../protocol/codec.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import type { GlobalName, Identity } from "../../protocol/ids.ts";
import { controlBodyBytesMax } from "../../protocol/limits.ts";
import { parseRequestId, type RequestId, requestIdHeader } from "../../protocol/request-id.ts";
import { rootBodyBytesMax, rootRoutes } from "../../protocol/root-routes.ts";
import { type RouteName, routes } from "../../protocol/routes.ts";
import { parseSessionToken, sessionHeader } from "../../protocol/session-routes.ts";
import type { Log } from "../core/log.ts";
import { type OpenHandlers, openRoutes } from "./open-routes.ts";
import { errorResponse, messageResponse } from "./respond.ts";

export interface Caller extends Identity {
  readonly publicKeyRaw: Uint8Array;
  /** Of the certificate that was presented. */
  readonly serial: string;
  readonly certificatePem: string;
}

/** An `expired` certificate counts where it is about to be renewed, and nowhere else. */
export type Identify = (bindings: unknown, accept: "valid" | "expired") => Caller;

/** Somebody whom nothing here identifies. */
export interface Stranger {
  /** DER of the certificate whose key the handshake has proved; of whatever authority, or none. */
  readonly certificateRaw: Uint8Array | undefined;
  readonly source: string;
}

export type StrangerOf = (bindings: unknown) => Stranger;
export type RootHandlers = OpenHandlers<typeof rootRoutes, Stranger>;

export interface CallContext {
  readonly caller: Caller;
  /** The client's, where it said one; see protocol/session-routes.ts. */
  readonly session: string | undefined;
  readonly signal: AbortSignal;
}

/** Of a route that is not idempotent by itself: its handler changes the metadata through `once` alone. */
export interface ChangeContext extends CallContext {
  readonly request: RequestId & { readonly caller: GlobalName; readonly session: string | undefined };
}

type Routes = typeof routes;
type ContextOf<K extends RouteName> = Routes[K]["idempotent"] extends true ? CallContext : ChangeContext;
export type ControlHandlers = {
  readonly [K in RouteName]: (input: z.output<Routes[K]["input"]>, context: ContextOf<K>) => Promise<z.input<Routes[K]["output"]>>;
};

export interface ControlAppOptions {
  readonly handlers: ControlHandlers;
  /** Throws `not_authenticated` or `permission_denied`; called for every request before anything of it is read. */
  readonly identify: Identify;
  readonly rootHandlers: RootHandlers;
  readonly strangerOf: StrangerOf;
  readonly log: Log;
}

interface ControlEnv {
  Variables: { caller: Caller };
}

export function createControlApp({ handlers, identify, rootHandlers, strangerOf, log }: ControlAppOptions): Hono<ControlEnv> {
  const app = new Hono<ControlEnv>();
  app.onError((error, c) => errorResponse(error, { log, path: c.req.path }));
  app.notFound((c) =>
    errorResponse(new CollectiveError("unsupported", `this coordinator has no ${c.req.path}`, { hint: "update the older program" }), {
      log,
      path: c.req.path,
    }),
  );
  app.route("/", openRoutes({ routes: rootRoutes, handlers: rootHandlers, callerOf: strangerOf, bodyBytesMax: rootBodyBytesMax }));
  app.use(async (c, next) => {
    c.set("caller", identify(c.env, c.req.path === routes.renewCertificate.path ? "expired" : "valid"));
    await next();
  });
  const tooLarge = () => {
    throw new CollectiveError("too_large", `a request has at most ${controlBodyBytesMax} bytes`);
  };
  const limited = bodyLimit({ maxSize: controlBodyBytesMax, onError: tooLarge });
  // It makes a stream of the body even where it then only believes what the request says of its length.
  app.use((c, next) => (saidBytes(c) <= controlBodyBytesMax ? next() : limited(c, next)));
  for (const name of Object.keys(routes) as RouteName[]) {
    const route = routes[name];
    const handler = handlers[name] as (input: unknown, context: CallContext | ChangeContext) => Promise<unknown>;
    app.post(route.path, async (c) => {
      const caller = c.get("caller");
      const session = parseSessionToken(c.req.header(sessionHeader));
      const context = { caller, session, signal: c.req.raw.signal };
      const request = route.idempotent ? undefined : { caller: caller.name, session, ...parseRequestId(c.req.header(requestIdHeader)) };
      const input = decodeMessage(route.input, new Uint8Array(await c.req.arrayBuffer()), "the request");
      return messageResponse(await handler(input, request ? { ...context, request } : context));
    });
  }
  return app;
}

/** Infinite when the request does not say it. */
function saidBytes(c: Context): number {
  if (c.req.header("transfer-encoding") !== undefined) return Number.POSITIVE_INFINITY;
  return Number(c.req.header("content-length") ?? Number.POSITIVE_INFINITY);
}
