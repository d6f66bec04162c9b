/**
 * Whom other members have revoked, as gossip tells it: their certificates would count here until they expire.
 *
 * Invariant: a member is believed about its own site, and about no other.
 */
import type { RecordBody } from "../../protocol/gossip-records.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { clockSkewMsMax, ticketLifetimeMs } from "../../protocol/limits.ts";
import type { Withdrawal } from "../../protocol/schema.ts";
import type { Clock } from "../core/clock.ts";
import type { Caller } from "../net/control-app.ts";
import type { Federation } from "./federation.ts";
import type { Peers } from "./peers.ts";
import { revoked } from "./revocations.ts";

export interface ToldRevocations {
  /** Throws `not_authenticated`, saying since when. */
  assertInForce(caller: Caller): void;
  /** Of the tickets that they were given here, as long as one could still be valid. */
  withdrawals(): Withdrawal[];
}

export interface ToldRevocationsOptions {
  readonly peers: Pick<Peers, "list">;
  readonly federation: { readonly agent: Pick<Federation["agent"], "record"> };
  readonly clock: Pick<Clock, "wallMs">;
}

/** How long it may take to be heard of; until then tickets were given. */
const hearingMsMax = 60_000;

export function createToldRevocations({ peers, federation, clock }: ToldRevocationsOptions): ToldRevocations {
  const toldBy = (member: GlobalName): RecordBody<"revocations"> | undefined => federation.agent.record(member, "revocations");
  return {
    assertInForce: ({ kind, name, publicKeyRaw, serial }) => {
      const peer = peers.list().find(({ member }) => siteOf(member) === siteOf(name));
      const told = peer && toldBy(peer.member);
      const certificate = told?.serials.find((one) => one.serial === serial);
      if (certificate) throw revoked(`the certificate ${serial} of ${name}`, certificate.revokedMs);
      const entry = told?.names.find((one) => one.kind === kind && one.name === name);
      if (entry && !entry.keysInForce.some((key) => Buffer.compare(key, publicKeyRaw) === 0)) throw revoked(name, entry.revokedMs);
    },
    withdrawals: () => {
      const oldestMs = clock.wallMs() - ticketLifetimeMs - 2 * clockSkewMsMax;
      const list = peers.list().flatMap(({ member }) => {
        const own = toldBy(member)?.names.filter(({ kind, name }) => kind === "user" && siteOf(name) === siteOf(member)) ?? [];
        return own.map(({ name, revokedMs }) => ({ holder: name, untilMs: revokedMs + hearingMsMax }));
      });
      return list.filter(({ untilMs }) => untilMs > oldestMs);
    },
  };
}
