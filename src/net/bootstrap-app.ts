/** The bootstrap routes as a Hono application. Nobody is identified here: what a caller may do is in the code that it shows. */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { z } from "zod";
import { bootstrapBodyBytesMax, bootstrapRoutes } from "../../protocol/bootstrap.ts";
import { decodeMessage } from "../../protocol/codec.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Log } from "../core/log.ts";
import { errorResponse, messageResponse } from "./respond.ts";

type Routes = typeof bootstrapRoutes;
export type BootstrapHandlers = {
  readonly [K in keyof Routes]: (
    input: z.output<Routes[K]["input"]>,
    /** Where the request came from, for counting. */
    source: string,
  ) => Promise<z.input<Routes[K]["output"]>>;
};

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
  const tooLarge = () => {
    throw new CollectiveError("too_large", `a request has at most ${bootstrapBodyBytesMax} bytes`);
  };
  app.use(bodyLimit({ maxSize: bootstrapBodyBytesMax, onError: tooLarge }));
  for (const name of Object.keys(bootstrapRoutes) as (keyof Routes)[]) {
    const route = bootstrapRoutes[name];
    const handler = handlers[name] as (input: unknown, source: string) => Promise<unknown>;
    app.post(route.path, async (c) => {
      const input = decodeMessage(route.input, new Uint8Array(await c.req.arrayBuffer()), "the request");
      return messageResponse(await handler(input, sourceOf(c.env)));
    });
  }
  return app;
}
