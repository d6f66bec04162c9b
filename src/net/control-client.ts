/**
 * Calls a coordinator. One pooled HTTP/2 connection serves all calls in flight, for as long as it is good for anything;
 * every call ends, in an answer or an error, within its time-out.
 *
 * A call whose answer was lost is repeated by itself: either nothing more comes of it, or it carries an id
 * by which the coordinator knows it (protocol/request-id.ts).
 */
import type { z } from "zod";
import { decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import { dnsNameOf, type Identity } from "../../protocol/ids.ts";
import { controlTimeoutMs } from "../../protocol/limits.ts";
import { formatRequestId, type RequestId, requestIdHeader, requestSlot, requestSlotBytes } from "../../protocol/request-id.ts";
import { contentTypeMessage, type Route, routes } from "../../protocol/routes.ts";
import { sessionHeader, sessionTokenBytes } from "../../protocol/session-routes.ts";
import type { CircuitPolicy } from "../core/circuit.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";
import { type RetryPolicy, retry } from "../core/retry.ts";
import type { Credentials } from "../pki/credentials.ts";
import { boundedBytes } from "./bounded-bytes.ts";
import { type CircuitGuard, createCircuitGuard } from "./circuit-guard.ts";
import { askTime, timeOfAnswer, withClockSkew } from "./clock-skew.ts";
import { createConnectionWatch, numbered } from "./connection-watch.ts";
import { neverAnswered, type RequestFacts, requestError, responseError } from "./errors.ts";
import { type ClientTls, clientTls } from "./tls.ts";

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** `controlTimeoutMs` unless told. */
  readonly timeoutMs?: number;
  /** Of another member's coordinator, which may send anything. */
  readonly answerBytesMax?: number;
  /** See `GuardOptions`. */
  readonly probe?: boolean;
  /** The other side may have nothing to say for so long. */
  readonly quietMs?: number;
  /** Not asked again by itself: for one who does so in its own way. */
  readonly isSingle?: boolean;
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
  /** By which the coordinator knows this client among others of the same person; a new one unless told. */
  readonly session?: string | undefined;
  /** Sees that they are usable. What it throws, the call throws. It may renew them by this same client. */
  readonly beforeCall?: (() => Promise<void>) | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly retryPolicy?: RetryPolicy;
  /** Holds calls back while nobody answers. */
  readonly circuit?: CircuitPolicy;
  /** The time-out of calls until the first answer; for one who may well not be there, as `timeoutMs` for one who is. */
  readonly firstAnswerTimeoutMs?: number;
}

/** For a coordinator that has never answered this client: it is probably not there, and the person should know soon. */
const defaultRetryPolicy: RetryPolicy = { attemptsMax: 4, firstDelayMs: 100, delayMsMax: 1_000 };
/** For one that has: waits between 8 and 16 s in all, so that work under way outlives its restart. */
const restartRetryPolicy: RetryPolicy = { attemptsMax: 12, firstDelayMs: 100, delayMsMax: 2_000 };

export function createControlClient(options: ControlClientOptions): ControlClient {
  const facts = { peer: dnsNameOf(options.server), address: options.address };
  const { clock, random, circuit } = options;
  const guard: CircuitGuard = circuit ? createCircuitGuard({ policy: circuit, facts, clock, random }) : (call) => call();
  const connections = createConnectionWatch(clock);
  const session = options.session ?? Buffer.from(random.bytes(sessionTokenBytes)).toString("base64url");
  let known: { readonly from: Credentials; readonly tls: ClientTls } | undefined;
  const currentTls = (route: Route): ClientTls => {
    const credentials = options.credentials();
    if (!isRenewal(route)) assertUsable(credentials, clock.wallMs());
    const usable = known?.from === credentials ? known : { from: credentials, tls: clientTls(credentials, options.server) };
    known = usable;
    return usable.tls;
  };
  let hasAnswered = false;
  const attempt = async (route: Route, body: Uint8Array<ArrayBuffer>, call: CallOptions & SentCall): Promise<unknown> => {
    const connection = connections.number;
    const lost = new AbortController();
    using _ = connections.onGivenUp(connection, () => lost.abort(connectionLost(facts)));
    const init = {
      method: "POST",
      body,
      headers: { "content-type": contentTypeMessage, [sessionHeader]: session, ...call.idHeader },
      signal: AbortSignal.any([...(call.signal ? [call.signal] : []), call.timeout, lost.signal]),
      tls: numbered(currentTls(route), connection),
      protocol: "http2",
    };
    let answeredMs: number | undefined;
    connections.asked(connection, call.quietMs);
    try {
      const response = await fetch(`https://${options.address}${route.path}`, init as RequestInit);
      hasAnswered = true;
      connections.answered(connection);
      connections.asked(connection);
      answeredMs = timeOfAnswer(response);
      if (!response.ok) throw await responseError(response, facts);
      const bytes = await boundedBytes(response, { ...facts, bytesMax: call.answerBytesMax ?? Number.POSITIVE_INFINITY });
      connections.answered(connection);
      return decodeMessage(route.output, bytes, `the answer of ${facts.peer}`, "unavailable");
    } catch (thrown) {
      const error = requestError(thrown, facts);
      if (error.code === "timed_out") connections.timedOut(connection);
      if (error.details.outOfDate !== true) throw error;
      const peerMs = answeredMs ?? (await askTime(options.address, facts.peer));
      throw withClockSkew(error, { nowMs: clock.wallMs(), peerMs });
    }
  };
  const repeat = (route: Route, body: Uint8Array<ArrayBuffer>, given: CallOptions & SentId): Promise<unknown> => {
    const patienceMs = hasAnswered ? controlTimeoutMs : (options.firstAnswerTimeoutMs ?? controlTimeoutMs);
    const call = { ...given, timeout: AbortSignal.timeout(given.timeoutMs ?? patienceMs) };
    if (call.isSingle) return guard(() => attempt(route, body, call), call);
    const policy = options.retryPolicy ?? defaultRetryPolicy;
    let refusals = 0;
    return retry(() => guard(() => attempt(route, body, call), call), {
      policy: hasAnswered ? (options.retryPolicy ?? restartRetryPolicy) : policy,
      clock,
      random,
      signal: call.signal,
      retryable: (error) => isTransient(error) && (neverAnswered(error) || ++refusals < policy.attemptsMax),
    });
  };
  /** Each as its last call has used it. A call takes one for itself until its caller has what it waits for. */
  const freeSlots: RequestId[] = [];
  const change = async (route: Route, body: Uint8Array<ArrayBuffer>, call: CallOptions): Promise<unknown> => {
    const used = freeSlots.pop() ?? { slot: requestSlot(random.bytes(requestSlotBytes)), number: 0 };
    const next = { ...used, number: used.number + 1 };
    try {
      return await repeat(route, body, { ...call, idHeader: { [requestIdHeader]: formatRequestId(next) } });
    } finally {
      freeSlots.push(next);
    }
  };
  return {
    call: async <R extends Route>(route: R, input: z.input<R["input"]>, call: CallOptions = {}) => {
      const body = encodeMessage(input);
      if (!isRenewal(route)) await options.beforeCall?.();
      return (await (route.idempotent ? repeat(route, body, call) : change(route, body, call))) as z.output<R["output"]>;
    },
  };
}

/** The one call that is made with a certificate that has expired, to get a new one. */
function isRenewal(route: Route): boolean {
  return route.path === routes.renewCertificate.path;
}

interface SentId {
  readonly idHeader?: Readonly<Record<string, string>>;
}

interface SentCall extends SentId {
  /** Of all attempts together. */
  readonly timeout: AbortSignal;
}

/** Nothing that was asked before has come over it for some time: what waits there is asked again. */
function connectionLost({ peer, address }: RequestFacts): CollectiveError {
  return new CollectiveError("unavailable", `the connection to ${peer} at ${address} leads nowhere`, { details: { answered: false } });
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
      hint: "get a new one: collective auth renew",
    },
  );
}
