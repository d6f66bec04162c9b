/**
 * Signing and verifying tickets and receipts.
 *
 * Invariants of the verifier: a ticket is believed only while the coordinator of its issuer has the
 * key it was signed with, on the node it names, within its dates, and for what its issuer may allow
 * (ticket-rules.ts); a cached verdict saves only the signature check, the rest is asked again on every use.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { openEnvelope, type SignedKind, sealEnvelope, signedInput } from "../../protocol/envelope.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, type GlobalName, type Site, siteOf } from "../../protocol/ids.ts";
import { clockSkewMsMax } from "../../protocol/limits.ts";
import {
  decodeReceipt,
  decodeTicket,
  encodeReceipt,
  encodeTicket,
  type Receipt,
  type Ticket,
  type TicketOperation,
} from "../../protocol/ticket.ts";
import type { Clock } from "../core/clock.ts";
import { privateKeyFromPem, publicKeyFromRaw, rawPublicKeyOf } from "./keys.ts";
import { assertMayIssue } from "./ticket-rules.ts";

export interface Signer {
  readonly publicKeyRaw: Uint8Array;
  sign(input: Uint8Array): Uint8Array;
}

/** Holds the parsed key: about 17 µs a signature. */
export function createSigner(privateKeyPem: string): Signer {
  const key = privateKeyFromPem(privateKeyPem);
  return { publicKeyRaw: rawPublicKeyOf(createPublicKey(key)), sign: (input) => sign(null, input, key) };
}

export function signTicket(signer: Signer, ticket: Ticket): Uint8Array<ArrayBuffer> {
  return seal(signer, "ticket", encodeTicket(ticket));
}

export function signReceipt(signer: Signer, receipt: Receipt): Uint8Array<ArrayBuffer> {
  return seal(signer, "receipt", encodeReceipt(receipt));
}

/** Throws `not_authenticated` unless it is a receipt signed with this key. The caller compares `node` with whose key that is, and whose the chunks are. */
export function openReceipt(bytes: Uint8Array, publicKeyRaw: Uint8Array): Receipt {
  const { signature, body } = openEnvelope("receipt", bytes);
  if (!verify(null, signedInput("receipt", body), publicKeyFromRaw(publicKeyRaw), signature)) {
    throw new CollectiveError("not_authenticated", "the receipt is not signed by the node it should be from");
  }
  return decodeReceipt(body, "not_authenticated");
}

export interface TicketVerifierOptions {
  /** The node that verifies. */
  readonly audience: GlobalName;
  /**
   * Raw public key of a site's coordinator, from its verified certificate; `undefined` when it is
   * not known. Several are for the time in which a coordinator changes its key: tickets signed
   * with the old one are still on their way. Asked for every ticket, so it must be quick.
   */
  readonly coordinatorKeyFor: (site: Site) => Uint8Array | readonly Uint8Array[] | undefined;
  /** Whether its issuer has taken it back. Asked for every ticket, so it must be quick. */
  readonly isWithdrawn: (ticket: Ticket) => boolean;
  readonly clock: Pick<Clock, "wallMs">;
  /** Verified tickets remembered, least recently used forgotten first; one takes up to 20 KiB. */
  readonly cacheEntriesMax: number;
}

export interface TicketVerifier {
  /**
   * The ticket, if it may be used here and now. Throws `not_authenticated` when it is not its
   * issuer's or was withdrawn, `permission_denied` when it is for another node or another time, or its issuer may not
   * allow that. What it allows is for `assertAllows` to say.
   */
  verify(bytes: Uint8Array): Ticket;
}

interface Verdict {
  readonly ticket: Ticket;
  readonly signedWith: Uint8Array;
}

export function createTicketVerifier(options: TicketVerifierOptions): TicketVerifier {
  const { audience, coordinatorKeyFor, isWithdrawn, clock, cacheEntriesMax } = options;
  const verdicts = createRecentMap<Verdict>(cacheEntriesMax);
  const keys = createRecentMap<KeyObject>(64);

  const keyObjectOf = (raw: Uint8Array): KeyObject => {
    const name = Buffer.from(raw).toString("hex");
    const known = keys.get(name);
    if (known) return known;
    const key = publicKeyFromRaw(raw);
    keys.set(name, key);
    return key;
  };
  const keysOf = (site: Site): readonly Uint8Array[] => {
    const known = coordinatorKeyFor(site);
    if (known === undefined)
      throw new CollectiveError("not_authenticated", `the ticket is from ${site}, whose coordinator is not known here`);
    return known instanceof Uint8Array ? [known] : known;
  };
  const verifySignature = (bytes: Uint8Array): Verdict => {
    const { signature, body } = openEnvelope("ticket", bytes);
    const ticket = decodeTicket(body, "not_authenticated");
    const input = signedInput("ticket", body);
    const signedWith = keysOf(ticket.issuer).find((raw) => verify(null, input, keyObjectOf(raw), signature));
    if (!signedWith) throw forged(ticket.issuer);
    return { ticket, signedWith };
  };

  return {
    verify: (bytes) => {
      const digest = createHash("sha256").update(bytes).digest("base64");
      const known = verdicts.get(digest);
      const verdict = known ?? verifySignature(bytes);
      const { ticket, signedWith } = verdict;
      if (known && !keysOf(ticket.issuer).some((raw) => Buffer.compare(raw, signedWith) === 0)) throw forged(ticket.issuer);
      assertMayIssue(ticket, siteOf(audience));
      assertInPlaceAndTime(ticket, audience, clock.wallMs());
      if (isWithdrawn(ticket))
        throw new CollectiveError("not_authenticated", `the ticket was withdrawn: rights of ${ticket.holder} have changed since`, {
          hint: "ask for a new one, by running the command again",
          details: { withdrawn: true },
        });
      // Only what was found good is remembered, so that forged tickets cannot push good ones out.
      if (!known) verdicts.set(digest, verdict);
      return ticket;
    },
  };
}

/** Throws `permission_denied` unless the verified ticket is for this operation on this chunk. */
export function assertAllows(ticket: Ticket, operation: TicketOperation, chunk: ChunkId): void {
  if (ticket.operation !== operation) {
    throw new CollectiveError("permission_denied", `the ticket allows to ${ticket.operation}, not to ${operation}`);
  }
  if (!ticket.chunks.includes(chunk)) {
    throw new CollectiveError("permission_denied", `the ticket is not for chunk ${chunk}`);
  }
}

function assertInPlaceAndTime(ticket: Ticket, audience: GlobalName, nowMs: number): void {
  const refuse = (message: string, hint?: string) => new CollectiveError("permission_denied", message, { hint });
  if (ticket.audience !== audience) throw refuse(`the ticket is for ${ticket.audience}, this is ${audience}`);
  if (nowMs > ticket.expiresMs + clockSkewMsMax) throw refuse(`the ticket expired on ${new Date(ticket.expiresMs).toISOString()}`);
  if (nowMs < ticket.notBeforeMs - clockSkewMsMax) {
    throw refuse(
      `the ticket is not valid before ${new Date(ticket.notBeforeMs).toISOString()}`,
      `check the clocks: this node's says ${new Date(nowMs).toISOString()}`,
    );
  }
}

function seal(signer: Signer, kind: SignedKind, body: Uint8Array): Uint8Array<ArrayBuffer> {
  return sealEnvelope(kind, { signature: signer.sign(signedInput(kind, body)), body });
}

function forged(issuer: Site): CollectiveError {
  return new CollectiveError("not_authenticated", `the ticket's signature is not from ${issuer}'s coordinator`);
}

interface RecentMap<V> {
  get(key: string): V | undefined;
  set(key: string, value: V): void;
}

/** A Map iterates in order of insertion, so re-inserting on use keeps the least recently used entry first. */
function createRecentMap<V>(entriesMax: number): RecentMap<V> {
  const entries = new Map<string, V>();
  return {
    get: (key) => {
      const value = entries.get(key);
      if (value === undefined) return undefined;
      entries.delete(key);
      entries.set(key, value);
      return value;
    },
    set: (key, value) => {
      entries.set(key, value);
      const oldest = entries.size > entriesMax ? entries.keys().next().value : undefined;
      if (oldest !== undefined) entries.delete(oldest);
    },
  };
}
