/** What one call is: where it goes, what is said and answered. Of the control and the bootstrap API alike. */
import type { z } from "zod";

export interface Route<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType> {
  readonly path: `/v1/${string}`;
  readonly input: I;
  readonly output: O;
  /**
   * Asking again after a lost answer changes nothing more. True: by what it is. False: because the call
   * carries an id (protocol/request-id.ts), by which the coordinator knows that it was made.
   */
  readonly idempotent: boolean;
}

export function route<I extends z.ZodType, O extends z.ZodType, const B extends boolean>(
  path: `/v1/${string}`,
  options: { input: I; output: O; idempotent: B },
): Route<I, O> & { readonly idempotent: B } {
  return { path, ...options };
}

export type RouteInput<R extends Route> = z.input<R["input"]>;
export type RouteOutput<R extends Route> = z.output<R["output"]>;
