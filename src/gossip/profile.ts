/**
 * How fast gossip goes, as data, and the formulas over it.
 *
 * The two promises of the LAN profile pull in opposite directions. A process paused for 5 s must have
 * time to refute: accused after `failuresToAccuse` intervals at the earliest, it is dead no sooner
 * than `suspicionMinMs` later. A killed one must be dead everywhere within 10 s: someone's turn to
 * probe it comes within about 2.5 s, then two intervals to accuse, then `suspicionMinMs` once others
 * confirm, then a few gossip rounds.
 */

export interface GossipProfile {
  readonly name: "lan" | "wan";
  /** One member is probed in each interval; the second half of it is for the indirect attempt. */
  readonly probeIntervalMs: number;
  readonly directTimeoutMs: number;
  /** Members asked to probe in our place. */
  readonly helpers: number;
  /** Failed probes of one member in a row before it is accused: one lost message is no reason. */
  readonly failuresToAccuse: number;
  /** From the accusation to death: the longest with one accuser, the shortest with `confirmations` more. */
  readonly suspicionMaxMs: number;
  readonly suspicionMinMs: number;
  readonly confirmations: number;
  /** News go to `gossipFanout` members each interval, while there are any. */
  readonly gossipIntervalMs: number;
  readonly gossipFanout: number;
  /** Each piece of news is sent about `retransmitFactor · log10(members)` times. */
  readonly retransmitFactor: number;
  /** Anti-entropy with one member. */
  readonly syncIntervalMs: number;
  /** A dead member is tried again, all members together about this often. */
  readonly reconnectIntervalMs: number;
  /** For one answer of anti-entropy or news. */
  readonly exchangeTimeoutMs: number;
  /** How many times slower than usual a member in trouble probes, at most, is this plus one. */
  readonly healthMax: number;
}

export const lanProfile: GossipProfile = {
  name: "lan",
  probeIntervalMs: 500,
  directTimeoutMs: 200,
  helpers: 3,
  failuresToAccuse: 2,
  suspicionMaxMs: 10_000,
  suspicionMinMs: 5_000,
  confirmations: 3,
  gossipIntervalMs: 200,
  gossipFanout: 3,
  retransmitFactor: 4,
  syncIntervalMs: 15_000,
  reconnectIntervalMs: 5_000,
  exchangeTimeoutMs: 2_000,
  healthMax: 4,
};

/** For homes behind the internet: fewer messages, more patience. Loss and latency of a DSL line are not a death. */
export const wanProfile: GossipProfile = {
  name: "wan",
  probeIntervalMs: 3_000,
  directTimeoutMs: 1_200,
  helpers: 3,
  failuresToAccuse: 2,
  suspicionMaxMs: 40_000,
  suspicionMinMs: 15_000,
  confirmations: 3,
  gossipIntervalMs: 500,
  gossipFanout: 3,
  retransmitFactor: 4,
  syncIntervalMs: 60_000,
  reconnectIntervalMs: 20_000,
  exchangeTimeoutMs: 10_000,
  healthMax: 4,
};

export const gossipProfiles: Readonly<Record<GossipProfile["name"], GossipProfile>> = { lan: lanProfile, wan: wanProfile };

/**
 * Time from a suspicion's start to death (Lifeguard's "dogpile"): each independent confirmation
 * shortens it, the first ones most. `members` counts all; the suspect and its first accuser cannot confirm.
 */
export function suspicionTimeoutMs(profile: GossipProfile, confirmations: number, members: number): number {
  const possible = Math.min(profile.confirmations, Math.max(0, members - 2));
  if (confirmations >= possible) return profile.suspicionMinMs;
  const share = Math.log(confirmations + 1) / Math.log(possible + 1);
  return profile.suspicionMaxMs - share * (profile.suspicionMaxMs - profile.suspicionMinMs);
}

/** How often one piece of news is sent before it counts as known. */
export function retransmissions(profile: GossipProfile, members: number): number {
  return profile.retransmitFactor * Math.ceil(Math.log10(members + 1));
}

/** Lifeguard's local health: 0 is well; each point makes probing slower, and accusing take one more failure for two. */
export function probeTimes(profile: GossipProfile, health: number): { readonly directMs: number; readonly intervalMs: number } {
  return { directMs: profile.directTimeoutMs * (1 + health), intervalMs: profile.probeIntervalMs * (1 + health) };
}

/** What a member believes of the way to others before it knows: after about as many pings it does. */
export const lossShareAtFirst = 0.25;
const pingsRemembered = 64;
/** Some loss is always possible; and with more, patience has an end. */
const [lossShareMin, lossShareMax] = [0.05, 0.6];
/** A member accuses falsely once in so many probes of all members: what all hear of is rare, however many they are. */
const probesPerFalseAccusation = 1_000;

export function lossShareAfter(lossShare: number, isAnswered: boolean): number {
  return lossShare + ((isAnswered ? 0 : 1) - lossShare) / pingsRemembered;
}

/** That nothing comes back from somebody who is there: of so many pings, and through so many helpers, each of which takes two round trips. */
export function chanceOfSilence(lossShare: number, tries: number, helpers: number): number {
  const share = Math.min(lossShareMax, Math.max(lossShareMin, lossShare));
  return share ** tries * (1 - (1 - share) ** 2) ** helpers;
}

export function isBeyondChance(chance: number, members: number): boolean {
  return chance * members * probesPerFalseAccusation < 1;
}

export function failuresToAccuse(profile: GossipProfile, health: number): number {
  return profile.failuresToAccuse + Math.ceil(health / 2);
}
