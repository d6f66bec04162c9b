/** One request over a connection of its own, for whom nothing is trusted yet: what is verified is in the `tls` it is given. */
import type { z } from "zod";
import { decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import { contentTypeMessage, type Route, type RouteOutput } from "../../protocol/routes.ts";
import { boundedBytes } from "./bounded-bytes.ts";
import { type RequestFacts, requestError, responseError } from "./errors.ts";
import type { FirstTls } from "./tls.ts";

export interface OneQuestion<R extends Route> {
  readonly address: string;
  readonly tls: FirstTls;
  readonly input: z.input<R["input"]>;
  readonly answerBytesMax: number;
  readonly signal?: AbortSignal | undefined;
}

const timeoutMs = 15_000;

/** Throws what the other side answered, or `unavailable`, `timed_out`, `not_authenticated`, `cancelled`. */
export async function askOnce<R extends Route>(route: R, question: OneQuestion<R>): Promise<RouteOutput<R>> {
  const { address, tls, input, answerBytesMax, signal } = question;
  const facts: RequestFacts = { peer: tls.serverName ?? "the collective", address };
  const timeout = AbortSignal.timeout(timeoutMs);
  const init = {
    method: "POST",
    body: encodeMessage(input),
    headers: { "content-type": contentTypeMessage },
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    keepalive: false,
    redirect: "error",
    tls,
  };
  try {
    const response = await fetch(`https://${address}${route.path}`, init as RequestInit);
    const bytes = await boundedBytes(response, { ...facts, bytesMax: answerBytesMax });
    if (!response.ok) throw await responseError(new Response(bytes, { status: response.status }), facts);
    return decodeMessage(route.output, bytes, `the answer of ${facts.peer}`, "unavailable") as RouteOutput<R>;
  } catch (error) {
    throw requestError(error, facts);
  }
}
