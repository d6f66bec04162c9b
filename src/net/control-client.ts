/**
 * Calls a coordinator. One pooled HTTP/2 connection serves all calls in flight.
 *
 * What is repeated by itself: any call that never left this machine, and idempotent calls whose
 * answer was lost. A call that may have taken effect and must not do so twice fails instead.
 */
import type { z } from "zod";
import { decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import { dnsNameOf, type Identity } from "../../protocol/ids.ts";
import { controlTimeoutMs } from "../../protocol/limits.ts";
import { contentTypeMessage, type Route } from "../../protocol/routes.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";
import { type RetryPolicy, retry } from "../core/retry.ts";
import type { Credentials } from "../pki/credentials.ts";
import { neverSent, requestError, responseError } from "./errors.ts";
import { type ClientTls, clientTls } from "./tls.ts";

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
}

export interface ControlClient {
  /** Throws what the coordinator answered, or `unavailable`, `timed_out`, `not_authenticated`, `cancelled`. */
  call<R extends Route>(route: R, input: z.input<R["input"]>, options?: CallOptions): Promise<z.output<R["output"]>>;
}

export interface ControlClientOptions {
  readonly address: string;
  readonly server: Identity;
  /** Asked at every call, so that renewed certificates are used at once. */
  readonly credentials: () => Credentials;
  readonly clock: Clock;
  readonly random: Random;
  readonly retryPolicy?: RetryPolicy;
}

const defaultRetryPolicy: RetryPolicy = { attemptsMax: 4, firstDelayMs: 100, delayMsMax: 1_000 };

export function createControlClient(options: ControlClientOptions): ControlClient {
  const facts = { peer: dnsNameOf(options.server), address: options.address };
  let known: { readonly from: Credentials; readonly tls: ClientTls } | undefined;
  const currentTls = (): ClientTls => {
    const credentials = options.credentials();
    assertUsable(credentials, options.clock.wallMs());
    const usable = known?.from === credentials ? known : { from: credentials, tls: clientTls(credentials, options.server) };
    known = usable;
    return usable.tls;
  };
  const attempt = async (route: Route, body: Uint8Array<ArrayBuffer>, call: CallOptions): Promise<unknown> => {
    const timeout = AbortSignal.timeout(call.timeoutMs ?? controlTimeoutMs);
    const init = {
      method: "POST",
      body,
      headers: { "content-type": contentTypeMessage },
      signal: call.signal ? AbortSignal.any([call.signal, timeout]) : timeout,
      tls: currentTls(),
      protocol: "http2",
    };
    try {
      const response = await fetch(`https://${options.address}${route.path}`, init as RequestInit);
      if (!response.ok) throw await responseError(response, facts);
      return decodeMessage(route.output, new Uint8Array(await response.arrayBuffer()), `the answer of ${facts.peer}`, "unavailable");
    } catch (error) {
      throw requestError(error, facts);
    }
  };
  return {
    call: <R extends Route>(route: R, input: z.input<R["input"]>, call: CallOptions = {}) => {
      const body = encodeMessage(input);
      return retry(() => attempt(route, body, call), {
        policy: options.retryPolicy ?? defaultRetryPolicy,
        clock: options.clock,
        random: options.random,
        signal: call.signal,
        retryable: (error) => (neverSent(error) ? isTransient(error) : route.idempotent && isTransient(error)),
      }) as Promise<z.output<R["output"]>>;
    },
  };
}

function isTransient(error: unknown): boolean {
  return error instanceof CollectiveError && error.retryable && error.code !== "timed_out";
}

/** Says what is wrong with the own certificate before the other side can only refuse it. */
function assertUsable(credentials: Credentials, nowMs: number): void {
  if (nowMs <= credentials.info.notAfterMs) return;
  throw new CollectiveError(
    "not_authenticated",
    `the certificate of ${credentials.identity.name} expired on ${new Date(credentials.info.notAfterMs).toISOString()}`,
    {
      hint: "get a new one: collective auth cert on the coordinator's machine, or a new invite",
    },
  );
}
