/** The bootstrap routes as a Hono application. Nobody is identified here: what a caller may do is in the code that it shows. */
import { Hono } from "hono";
import { bootstrapBodyBytesMax, bootstrapRoutes } from "../../protocol/bootstrap.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Log } from "../core/log.ts";
import { type OpenHandlers, openRoutes } from "./open-routes.ts";
import { errorResponse } from "./respond.ts";

/** They are told where the request came from, for counting. */
export type BootstrapHandlers = OpenHandlers<typeof bootstrapRoutes, string>;

export interface BootstrapAppOptions {
  readonly handlers: BootstrapHandlers;
  readonly sourceOf: (bindings: unknown) => string;
  readonly log: Log;
}

export function createBootstrapApp({ handlers, sourceOf, log }: BootstrapAppOptions): Hono {
  const app = new Hono();
  app.onError((error, c) => errorResponse(error, { log, path: c.req.path }));
  app.notFound((c) =>
    errorResponse(new CollectiveError("unsupported", "this port redeems invite codes and does nothing else"), { log, path: c.req.path }),
  );
  app.route("/", openRoutes({ routes: bootstrapRoutes, handlers, callerOf: sourceOf, bodyBytesMax: bootstrapBodyBytesMax }));
  return app;
}
