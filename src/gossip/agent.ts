/**
 * Runs the step function: gives it the time, randomness and what arrives, and does what it asks for.
 *
 * Invariant: the agent decides nothing about members. It keeps out what is not trusted, too large, too
 * much or not signed, and every exchange it begins ends, in an answer or a failure within its time-out.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { type GossipMessageKind, gossipMessageBytesMax, type Topic } from "../../protocol/gossip.ts";
import { decodeRecordBody, encodeRecordBody, type RecordBody } from "../../protocol/gossip-records.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { Signer } from "../pki/ticket.ts";
import { createGate } from "./gate.ts";
import { type Introduction, readIntroduction } from "./introductions.ts";
import type { Message } from "./messages.ts";
import { pendingNews } from "./news.ts";
import { accusationsOf, opinionOf } from "./opinions.ts";
import type { GossipProfile } from "./profile.ts";
import { isNews } from "./relevance.ts";
import { createSeal, type Decoded, decodeGossip, encodeGossip, type Rejections } from "./seal.ts";
import type { GossipAction, GossipEvent, GossipState, Opinion, StepEnvironment } from "./state.ts";
import { type GossipRecord, recordKey } from "./statements.ts";
import { createGossipState, step } from "./swim.ts";
import { entriesOf, lookUp } from "./trie.ts";

export interface GossipTransport {
  /**
   * Carries a request to the coordinator of `to` over mutual TLS, verified by its name, and brings its
   * answer. `addresses` are what `to` says of itself, none for a member that is only a contact yet:
   * the transport knows those. Rejects when there is no answer; an answer longer than
   * `gossipMessageBytesMax` must not be read to its end.
   */
  send(request: {
    readonly to: GlobalName;
    readonly addresses: readonly string[];
    readonly bytes: Uint8Array<ArrayBuffer>;
    readonly signal: AbortSignal;
  }): Promise<Uint8Array>;
}

export interface GossipTrust {
  /** The raw key that signs this member's statements; undefined for one that is not trusted. Asked often. */
  keyOf(member: GlobalName): Uint8Array | undefined;
  /**
   * A trusted member vouches for one that has no key here. The policy (`introduced`, `manual`) decides,
   * must verify `coordinatorPem` against `authorityPem`, and calls `contact` when it admits the member.
   * Called again for each new version of an introduction.
   */
  introduced(introduction: Introduction): void;
}

export type GossipNotice = Extract<GossipAction, { readonly kind: "memberUp" | "suspect" | "dead" | "left" | "recordChanged" }>;

export interface GossipMember {
  readonly name: GlobalName;
  readonly state: Opinion;
  readonly incarnation: number;
  readonly addresses: readonly string[];
  readonly accusers: readonly GlobalName[];
}

export interface GossipSnapshot {
  /** Without ourselves. */
  readonly members: readonly GossipMember[];
  /** 0 is well. */
  readonly health: number;
  readonly pendingNews: number;
  readonly messagesSent: Readonly<Record<GossipMessageKind, number>>;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly rejected: Readonly<Rejections>;
}

export interface GossipAgent {
  start(): void;
  /** Tells some others that we leave, then nothing more is sent. Idempotent. */
  stop(): Promise<void>;
  /**
   * A request of a peer, whose name the connection has proved. Throws `permission_denied`, `too_large`,
   * `invalid_argument`, `rate_limited`, `unavailable`.
   */
  receive(from: GlobalName, bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>>;
  /** Gets in touch with a trusted member, and keeps trying until it answers. */
  contact(member: GlobalName): void;
  /** After trust was withdrawn. */
  forget(member: GlobalName): void;
  setAddresses(addresses: readonly string[]): void;
  /** `item` is who is introduced, for that topic alone. The same again changes nothing. */
  publish<T extends Topic>(topic: T, body: RecordBody<T>, item?: string): void;
  withdraw(topic: Topic, item?: string): void;
  record<T extends Topic>(member: GlobalName, topic: T, item?: string): RecordBody<T> | undefined;
  /** Of members that have no key here, by members that are trusted. */
  introductions(): Introduction[];
  snapshot(): GossipSnapshot;
  /** Called inside a step: it must be quick and may not throw. */
  onNotice(listener: (notice: GossipNotice) => void): Disposable;
}

export interface GossipAgentOptions {
  readonly member: GlobalName;
  readonly addresses: readonly string[];
  readonly profile: GossipProfile;
  readonly signer: Signer;
  readonly transport: GossipTransport;
  readonly trust: GossipTrust;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How long stopping waits for the others to hear of it. */
const leaveMsMax = 1_000;

interface Caller {
  readonly resolve: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly reject: (error: CollectiveError) => void;
}

export function createGossipAgent(options: GossipAgentOptions): GossipAgent {
  const { member: self, profile, transport, trust, clock, random, log } = options;
  const { signer } = options;
  const seal = createSeal((input) => signer.sign(input));
  /** What we said in an earlier life comes back to us, and is ours to verify too. */
  const keyOf = (member: GlobalName) => (member === self ? signer.publicKeyRaw : trust.keyOf(member));
  const gate = createGate(clock);
  const listeners = new Set<(notice: GossipNotice) => void>();
  const callers = new Map<number, Caller>();
  const underWay = new Set<Promise<void>>();
  const stopping = new AbortController();
  const messagesSent = { ping: 0, probe: 0, news: 0, ack: 0, nack: 0, sync: 0 } satisfies Record<GossipMessageKind, number>;
  const rejected: Rejections = { unknown: 0, malformed: 0, forged: 0 };
  let [bytesSent, bytesReceived, nextCall] = [0, 0, 1];
  let running = false;
  let alarm: { readonly dueMs: number; readonly cancel: AbortController } | undefined;

  const environment = (): StepEnvironment => ({ nowMs: clock.monotonicMs(), random, seal });
  let state: GossipState = createGossipState(
    { profile, member: self, addresses: options.addresses, counterStart: clock.wallMs() },
    environment(),
  );

  const apply = (event: GossipEvent): void => {
    const result = step(state, event, environment());
    state = result.state;
    for (const action of result.actions) perform(action);
    if (running) setAlarm();
  };
  const setAlarm = (): void => {
    if (alarm && alarm.dueMs <= state.dueMs) return;
    alarm?.cancel.abort();
    const mine = { dueMs: state.dueMs, cancel: new AbortController() };
    alarm = mine;
    const wake = (): void => {
      if (alarm !== mine || !running) return;
      alarm = undefined;
      apply({ kind: "wake" });
    };
    clock.sleep(Math.max(0, mine.dueMs - clock.monotonicMs()), mine.cancel.signal).then(wake, () => undefined);
  };
  const perform = (action: GossipAction): void => {
    if (action.kind === "send") {
      const sending = exchange(action).finally(() => underWay.delete(sending));
      underWay.add(sending);
    } else if (action.kind === "respond") {
      callers.get(action.call)?.resolve(encodeCounted(action.message));
      callers.delete(action.call);
    } else notify(action);
  };
  const notify = (notice: GossipNotice): void => {
    if (notice.kind === "recordChanged") considerIntroduction(notice.record);
    else log.info("gossip.member", { member: notice.member, now: notice.kind === "memberUp" ? "alive" : notice.kind });
    for (const listener of listeners) listener(notice);
  };
  const considerIntroduction = (record: GossipRecord): void => {
    try {
      const introduction = introductionIn(record, knownNames());
      if (introduction) trust.introduced(introduction);
    } catch (error) {
      log.warn("gossip.introduction.refused", { reason: toCollectiveError(error).message });
    }
  };
  /** Undefined for what introduces nobody, or a member that is trusted. Throws as `readIntroduction`. */
  const introductionIn = (record: GossipRecord, known: Iterable<GlobalName>): Introduction | undefined => {
    if (record.topic !== "introduction" || record.body.length === 0 || record.member === self) return undefined;
    const introduction = readIntroduction(record, known);
    return introduction.member === self || trust.keyOf(introduction.member) ? undefined : introduction;
  };
  const introductions = (): Introduction[] => {
    const known = knownNames();
    return [...entriesOf(state.records)].flatMap((record) => {
      try {
        return introductionIn(record, known) ?? [];
      } catch {
        // It was refused when it came, and the log said why.
        return [];
      }
    });
  };
  const knownNames = (): GlobalName[] => [...entriesOf(state.members)].map(({ member }) => member);
  const encodeCounted = (message: Message): Uint8Array<ArrayBuffer> => {
    const bytes = encodeGossip(message);
    messagesSent[message.kind]++;
    bytesSent += bytes.length;
    return bytes;
  };
  const open = (from: GlobalName, bytes: Uint8Array): Omit<Decoded, "rejections"> => {
    bytesReceived += bytes.length;
    const { rejections, ...opened } = decodeGossip(bytes, { keyOf, isNews: (statement) => isNews(state, statement) });
    rejected.unknown += rejections.unknown;
    rejected.malformed += rejections.malformed;
    rejected.forged += rejections.forged;
    if (rejections.forged > 0) log.warn("gossip.forged", { from, statements: rejections.forged });
    gate.punish(from, rejections.forged);
    return opened;
  };
  const exchange = async (action: Extract<GossipAction, { readonly kind: "send" }>): Promise<void> => {
    const { to, addresses, message } = action;
    const bytes = encodeCounted(message);
    const done = new AbortController();
    const timeout = new AbortController();
    clock.sleep(action.timeoutMs, done.signal).then(
      () => timeout.abort(new CollectiveError("timed_out", `${to} did not answer in time`)),
      () => undefined,
    );
    let event: GossipEvent;
    try {
      const signal = AbortSignal.any([timeout.signal, stopping.signal]);
      const answer = await answerOrAbort(transport.send({ to, addresses, bytes, signal }), signal);
      event = { kind: "response", exchange: action.exchange, message: open(to, answer).message };
    } catch (error) {
      log.debug("gossip.failed", { to, message: message.kind, reason: toCollectiveError(error).message });
      event = { kind: "failed", exchange: action.exchange };
    } finally {
      done.abort();
    }
    if (running) apply(event);
  };
  const publishBody = (topic: Topic, item: string, body: Uint8Array): void => apply({ kind: "publish", topic, item, body });

  return {
    start: () => {
      running = true;
      setAlarm();
    },
    stop: async () => {
      if (!running) return;
      apply({ kind: "leave" });
      running = false;
      alarm?.cancel.abort();
      for (const { reject } of callers.values()) reject(new CollectiveError("unavailable", `${self} is stopping`));
      callers.clear();
      const patience = clock.sleep(leaveMsMax, stopping.signal).catch(() => undefined);
      await Promise.race([Promise.all(underWay), patience]);
      stopping.abort(new CollectiveError("cancelled", `${self} is stopping`));
      await Promise.all(underWay);
    },
    receive: async (from, bytes) => {
      if (!running) throw new CollectiveError("unavailable", `${self} does not gossip now`);
      if (from === self || !trust.keyOf(from)) throw new CollectiveError("permission_denied", `${from} is no member that ${self} trusts`);
      if (bytes.length > gossipMessageBytesMax)
        throw new CollectiveError("too_large", `a gossip message of ${bytes.length} bytes is more than ${gossipMessageBytesMax}`);
      gate.admit(from, bytes.length);
      const { message, known } = open(from, bytes);
      const call = nextCall++;
      return new Promise((resolve, reject) => {
        callers.set(call, { resolve, reject });
        apply({ kind: "request", from, call, message, known });
      });
    },
    contact: (member) => apply({ kind: "contact", member }),
    forget: (member) => {
      gate.forget(member);
      apply({ kind: "forget", member });
    },
    setAddresses: (addresses) => apply({ kind: "addresses", addresses }),
    publish: (topic, body, item = "") => publishBody(topic, item, encodeRecordBody(topic, body)),
    withdraw: (topic, item = "") => publishBody(topic, item, new Uint8Array()),
    record: (member, topic, item = "") => {
      const record = lookUp(state.records, recordKey({ member, topic, item }));
      return record && record.body.length > 0 ? bodyOf(record, topic) : undefined;
    },
    introductions,
    snapshot: () => ({
      members: membersOf(state).filter(({ name }) => name !== self),
      health: state.health,
      pendingNews: pendingNews(state),
      messagesSent: { ...messagesSent },
      bytesSent,
      bytesReceived,
      rejected: { ...rejected },
    }),
    onNotice: (listener) => {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
}

/** Records never change; what stands in them is asked for often, and checking it takes longer than most of what is done with it. */
const bodies = new WeakMap<GossipRecord, RecordBody<Topic>>();

function bodyOf<T extends Topic>(record: GossipRecord, topic: T): RecordBody<T> {
  const body = bodies.get(record) ?? decodeRecordBody(topic, record.body);
  bodies.set(record, body);
  return body as RecordBody<T>;
}

/** A transport that does not heed its signal holds up nobody. */
function answerOrAbort<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    answer.then(resolve, reject);
  });
}

function membersOf(state: GossipState): GossipMember[] {
  const members = [...entriesOf(state.members)].map((statement) => ({
    name: statement.member,
    state: opinionOf(state, statement),
    incarnation: statement.incarnation,
    addresses: statement.addresses,
    accusers: accusationsOf(state, statement.member).map(({ accuser }) => accuser),
  }));
  return members.sort((a, b) => (a.name < b.name ? -1 : 1));
}
