/** Routes for callers whom nothing identifies yet: what one may do is in what it shows. Their requests are small, and nobody may send more. */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { z } from "zod";
import { decodeMessage } from "../../protocol/codec.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Route } from "../../protocol/route.ts";
import { messageResponse } from "./respond.ts";

type OpenRoutes = Readonly<Record<string, Route>>;

/** `C` is what is known of a caller. */
export type OpenHandlers<R extends OpenRoutes, C> = {
  readonly [K in keyof R]: (input: z.output<R[K]["input"]>, caller: C) => Promise<z.input<R[K]["output"]>>;
};

export interface OpenRoutesOptions<R extends OpenRoutes, C> {
  readonly routes: R;
  readonly handlers: OpenHandlers<R, C>;
  readonly callerOf: (bindings: unknown) => C;
  readonly bodyBytesMax: number;
}

/** To be mounted in an application, whose handler of errors answers theirs. */
export function openRoutes<R extends OpenRoutes, C>({ routes, handlers, callerOf, bodyBytesMax }: OpenRoutesOptions<R, C>): Hono {
  const app = new Hono();
  const onError = () => {
    throw new CollectiveError("too_large", `a request has at most ${bodyBytesMax} bytes`);
  };
  for (const [name, route] of Object.entries(routes)) {
    const handler = handlers[name] as (input: unknown, caller: C) => Promise<unknown>;
    app.use(route.path, bodyLimit({ maxSize: bodyBytesMax, onError }));
    app.post(route.path, async (c) => {
      const input = decodeMessage(route.input, new Uint8Array(await c.req.arrayBuffer()), "the request");
      return messageResponse(await handler(input, callerOf(c.env)));
    });
  }
  return app;
}
