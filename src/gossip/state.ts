/**
 * The state of one member's gossip, what happens to it, and what it asks its runner to do.
 *
 * Invariants:
 * - `step` in swim.ts is the only way from one state to the next, and a state never changes.
 * - Nobody is dead by hearsay: `dead` follows only from a suspicion that ran out here.
 * - Everything in a state that others can make grow has a limit in this file, or is bounded by the
 *   members that are trusted here.
 */
import type { Topic } from "../../protocol/gossip.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import type { Random } from "../core/random.ts";
import type { Bucket } from "./bucket.ts";
import type { Message, News, SyncContent } from "./messages.ts";
import type { GossipProfile } from "./profile.ts";
import type { Alive, GossipRecord, Seal, Suspect } from "./statements.ts";
import type { Keyed, Trie } from "./trie.ts";

/** Distinct pieces of news on their way; the most often sent is dropped first, anti-entropy brings it anyway. */
export const newsEntriesMax = 64;
/** Of statements beside the first, in one message; fewer in an answer, which does not count as sending. */
export const newsBytesPerMessageMax = 2_048;
export const newsBytesPerAnswerMax = 1_024;
/** Probes made for others at once. */
export const relaysMax = 64;
/** Requests of our own without an answer yet. */
export const exchangesMax = 512;
export const introductionsPerMemberMax = 1_024;
/** By how much one statement of another may move our Lamport clock: nobody can drive it to its end. */
export const clockJumpMax = 1_000_000;

export const opinions = ["alive", "suspect", "dead", "left"] as const;
export type Opinion = (typeof opinions)[number];

/** Against one member; in `dead` it stays when it has run out. */
export interface Suspicion extends Keyed {
  readonly key: GlobalName;
  readonly sinceMs: number;
  /** When the member is dead. */
  readonly deadlineMs: number;
  /** Of the current incarnation, one per accuser. */
  readonly accusations: readonly Suspect[];
}

export type Budgets = Trie<Keyed & { readonly bucket: Bucket }>;

/** The probe of this interval. */
export interface Probe {
  readonly target: GlobalName;
  readonly nonce: Uint8Array;
  /** Direct pings so far. */
  readonly tries: number;
  readonly nextTryMs: number;
  /** How many, once they are. */
  readonly helpersAsked: number | undefined;
  readonly helpersAtMs: number;
  readonly endsMs: number;
  /** Helpers that have not answered, not even with a nack: a sign that the trouble is ours. */
  readonly silentHelpers: number;
}

/** What speaks against a member that was not accused yet. */
export interface Doubt {
  /** Failed probes in a row. */
  readonly failures: number;
  /** That all of them failed though the member is there, where as many messages get lost as we have seen. */
  readonly chance: number;
}

/** Why we wait for an answer. */
export type Exchange = { readonly to: GlobalName } & (
  | { readonly kind: "ping"; readonly nonce: Uint8Array }
  | { readonly kind: "helper"; readonly nonce: Uint8Array; readonly target: GlobalName }
  | { readonly kind: "relay"; readonly call: number; readonly asker: GlobalName }
  | { readonly kind: "news" }
  | Pick<Session, "kind" | "turn" | "content" | "failures">
);

/** One turn of anti-entropy. */
export interface Session {
  readonly kind: "sync";
  readonly to: GlobalName;
  readonly turn: number;
  readonly content: SyncContent;
  /** How often it got no answer. */
  readonly failures: number;
}

/** One pass over all members in an order of its own, without a list of them: see permutation.ts. */
export interface Round {
  readonly key: number;
  readonly position: number;
}

export interface GossipState {
  readonly profile: GossipProfile;
  readonly self: Alive;
  /** What each says of itself, ourselves included. What we think of them is kept apart, of the few of whom we think ill. */
  readonly members: Trie<Alive>;
  readonly records: Trie<GossipRecord>;
  readonly clock: number;
  readonly health: number;
  /** Of our pings to members that were there, those without an answer: what getting lost is like from here. */
  readonly lossShare: number;
  /** By how often each has been sent, the newest first. */
  readonly news: readonly (readonly News[])[];
  readonly probe: Probe | undefined;
  readonly round: Round;
  readonly doubts: ReadonlyMap<GlobalName, Doubt>;
  readonly suspects: Trie<Suspicion>;
  readonly dead: Trie<Suspicion>;
  /** How many statements about itself and how many accusations we still take from a member; full buckets are left out. */
  readonly newsBudgets: Budgets;
  readonly accusationBudgets: Budgets;
  /** Members that we were told to get in touch with and have not heard from, and how often we tried. */
  readonly contacts: ReadonlyMap<GlobalName, number>;
  readonly exchanges: ReadonlyMap<number, Exchange>;
  readonly nextExchange: number;
  readonly nextProbeMs: number;
  readonly nextGossipMs: number;
  readonly nextSyncMs: number;
  readonly nextReconnectMs: number;
  /** No suspicion runs out before. */
  readonly nextDeathMs: number;
  /** When we last said that we are up. */
  readonly announcedMs: number;
  /** When we refute what has been said of us; infinite when there is nothing to refute. */
  readonly refuteMs: number;
  /** When `wake` is due next. */
  readonly dueMs: number;
}

/** Whatever happens. Statements in messages are verified before they get here. */
export type GossipEvent =
  | { readonly kind: "wake" }
  /** Somebody asks; `call` comes back with the answer. */
  | {
      readonly kind: "request";
      readonly from: GlobalName;
      readonly call: number;
      readonly message: Message;
      /** What it carried and we knew, not verified: the answer need not repeat it. */
      readonly known?: readonly News[];
    }
  | { readonly kind: "response"; readonly exchange: number; readonly message: Message }
  /** No answer in time, or none to be had. */
  | { readonly kind: "failed"; readonly exchange: number }
  /** Gets in touch with a member that we trust and may know nothing else of. */
  | { readonly kind: "contact"; readonly member: GlobalName }
  | { readonly kind: "publish"; readonly topic: Topic; readonly item: string; readonly body: Uint8Array }
  | { readonly kind: "addresses"; readonly addresses: readonly string[] }
  /** We are about to stop, and say so. */
  | { readonly kind: "leave" }
  /** Trust was withdrawn: nothing of it stays. */
  | { readonly kind: "forget"; readonly member: GlobalName };

export type GossipAction =
  | {
      readonly kind: "send";
      readonly exchange: number;
      readonly to: GlobalName;
      readonly addresses: readonly string[];
      readonly message: Message;
      readonly timeoutMs: number;
    }
  | { readonly kind: "respond"; readonly call: number; readonly message: Message }
  /** Our opinion of a member changed; `memberUp` also when it is new or returned. */
  | { readonly kind: "memberUp" | "suspect" | "dead" | "left"; readonly member: GlobalName }
  | { readonly kind: "recordChanged"; readonly record: GossipRecord };

export interface StepEnvironment {
  /** Monotonic. */
  readonly nowMs: number;
  readonly random: Random;
  readonly seal: Seal;
}

/** One step in the making: a copy of the state's top level, replaced part by part, and the actions so far. */
export interface Turn extends StepEnvironment {
  state: { -readonly [K in keyof GossipState]: GossipState[K] };
  readonly actions: GossipAction[];
  /** News of this step, the newest last. */
  readonly fresh: News[];
}
