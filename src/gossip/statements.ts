/** Signed statements as the rest of gossip handles them: opened, and with the bytes that are passed on as they are. */
import type { AliveFields, PresenceFields, RecordFields, SuspectFields, Topic } from "../../protocol/gossip.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import type { Digest, Keyed } from "./trie.ts";

/** Of two statements with one key the later counts; the digest is the first 8 bytes of the SHA-256 of `sealed`. */
interface Signed extends Keyed {
  readonly sealed: Uint8Array;
}

export type Alive = { readonly kind: "alive" } & Readonly<AliveFields> & Signed;
export type Suspect = { readonly kind: "suspect" } & Readonly<SuspectFields> & Signed;
export type GossipRecord = { readonly kind: "record" } & Readonly<RecordFields> & Signed;
export type Presence = { readonly kind: "presence" } & Readonly<PresenceFields> & Signed;
export type Statement = Alive | Suspect | GossipRecord | Presence;

/** What a statement says, before it is signed. */
export type Unsigned =
  | ({ readonly kind: "alive" } & AliveFields)
  | ({ readonly kind: "suspect" } & SuspectFields)
  | ({ readonly kind: "record" } & RecordFields)
  | ({ readonly kind: "presence" } & PresenceFields);

/** Ed25519 signs the same bytes the same way each time, so this is a function like any other. */
export type Seal = <U extends Unsigned>(unsigned: U) => Extract<Statement, { readonly kind: U["kind"] }>;

/** Who signs it. */
export function signerOf(statement: Unsigned): GlobalName {
  return statement.kind === "suspect" ? statement.accuser : statement.member;
}

export function keyOf(statement: Unsigned): string {
  if (statement.kind === "record") return recordKey(statement);
  return statement.kind === "suspect" ? `${statement.member} ${statement.accuser}` : statement.member;
}

export function recordKey(record: { readonly member: GlobalName; readonly topic: Topic; readonly item: string }): string {
  return `${record.member} ${record.topic} ${record.item}`;
}

/**
 * The later of two statements about the same. If a member signs two with one counter, all others
 * settle on the same of them.
 */
export function isLater(a: { readonly counter: number; readonly digest: Digest }, b: typeof a): boolean {
  if (a.counter !== b.counter) return a.counter > b.counter;
  return a.digest.high !== b.digest.high ? a.digest.high > b.digest.high : a.digest.low > b.digest.low;
}

/** What orders statements about the same: the incarnation of a member, the clock of a record. */
export function headOf(statement: Alive | GossipRecord): { readonly counter: number; readonly digest: Digest } {
  return { counter: statement.kind === "alive" ? statement.incarnation : statement.clock, digest: statement.digest };
}
