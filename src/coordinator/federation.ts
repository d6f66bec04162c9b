/**
 * Gossip with the members that are trusted: what of us is told, who is let in on another's word, and how others are.
 *
 * By the policy `introduced` whoever a trusted member vouches for is trusted, once its certificates prove that they are of
 * its own site, and is shown with its introducer; by `manual` nobody is. A member that was removed is not let in again that way.
 */
import { toCollectiveError } from "../../protocol/errors.ts";
import type { PeerState } from "../../protocol/federation-routes.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import type { Clock } from "../core/clock.ts";
import type { TrustPolicy } from "../core/config.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { createGossipAgent, type GossipAgent } from "../gossip/agent.ts";
import type { Introduction } from "../gossip/introductions.ts";
import type { GossipProfile } from "../gossip/profile.ts";
import type { MetadataStore } from "../meta/store.ts";
import { coordinatorOf } from "../pki/peering.ts";
import type { Signer } from "../pki/ticket.ts";
import type { NodeDirectory } from "./directory.ts";
import type { HostedSpace } from "./hosted-space.ts";
import { createPeerClients, type PeerClients } from "./peer-clients.ts";
import { assertFits } from "./peering.ts";
import type { Peers } from "./peers.ts";
import type { CoordinatorService } from "./service.ts";
import { catalogueRecord, nodesRecord, pledgeRecord, revocationsRecord, withdrawalsRecord } from "./shared-records.ts";

export interface Federation {
  readonly agent: GossipAgent;
  /** Of members that were heard of; the rest is unknown. */
  states(): ReadonlyMap<GlobalName, PeerState>;
  latencyMs(member: GlobalName): number | undefined;
  readonly call: PeerClients["call"];
  /** Of members that are not trusted, by members that are. */
  introductions(): readonly Introduction[];
  /** Where else a member may be found, now or once it is trusted. */
  hint(member: GlobalName, address: string): void;
  /** When the own address is known. */
  start(): void;
  stop(): Promise<void>;
}

export interface FederationOptions extends Pick<CoordinatorService, "member" | "credentials"> {
  readonly address: () => string;
  readonly authorityPem: string;
  readonly policy: TrustPolicy;
  readonly profile: GossipProfile;
  readonly signer: () => Signer;
  readonly peers: Peers;
  readonly metadata: MetadataStore;
  readonly directory: NodeDirectory;
  readonly hosted: HostedSpace;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const publishIntervalMs = 1_000;
/** Pauses are at least so many times as long as what they follow took, so that many grants keep nothing else waiting. */
const pauseFactor = 50;
/**
 * So many members are told of a new one by anti-entropy at once, and in each of the next rounds: news on the back of other
 * messages may by chance pass by one of few members, which would hear of it much later.
 */
const tellingsOfNew = 3;
const toldAtOnceMax = 16;
const protocolVersion = 1;

export function createFederation(options: FederationOptions): Federation {
  const { member, peers, metadata, directory, signer, clock, random, log } = options;
  const clients = createPeerClients(options);
  let admitting = Promise.resolve();
  const admit = async (introduction: Introduction): Promise<void> => {
    const { introducedBy, authorityPem, coordinatorPem, addresses } = introduction;
    const [address] = addresses;
    if (options.policy === "manual" || address === undefined || peers.get(introduction.member)) return;
    try {
      const { name } = coordinatorOf(introduction.member, introduction);
      assertFits(options, { site: siteOf(name), authorityPem });
      await metadata.admitPeer({ member: name, authorityPem, coordinatorPem, address, introducer: introducedBy });
      await peers.refresh();
      log.info("peer introduced", { member: name, by: introducedBy });
    } catch (error) {
      log.warn("introduction refused", { member: introduction.member, by: introducedBy, reason: toCollectiveError(error).message });
    }
  };
  const agent = createGossipAgent({
    member,
    addresses: [],
    profile: options.profile,
    signer: {
      get publicKeyRaw() {
        return signer().publicKeyRaw;
      },
      sign: (input) => signer().sign(input),
    },
    transport: clients,
    trust: {
      keyOf: (name) => peers.get(name)?.publicKeyRaw,
      introduced: (introduction) => {
        admitting = admitting.then(() => admit(introduction));
      },
    },
    clock,
    random,
    log: log.tagged("gossip"),
  });

  let known = new Set<GlobalName>();
  let tellings = 0;
  const vouchedFor = new Set<GlobalName>();
  const follow = (): void => {
    const now = new Set(peers.list().map((peer) => peer.member));
    for (const gone of known) {
      if (now.has(gone)) continue;
      agent.forget(gone);
      clients.forget(gone);
    }
    for (const fresh of now) if (!known.has(fresh)) agent.contact(fresh);
    known = now;
    vouch();
  };
  /** For those that came by a code or under the root: whoever was introduced has somebody who vouches for it. */
  const vouch = (): void => {
    const direct = peers.list().filter((peer) => peer.introducer === null);
    const isNew = direct.some((peer) => !vouchedFor.has(peer.member));
    for (const { member: name, authorityPem, coordinatorPem, address } of direct) {
      agent.publish("introduction", { member: name, authorityPem, coordinatorPem, addresses: [address] }, name);
      vouchedFor.add(name);
    }
    if (isNew) tellings = tellingsOfNew;
    for (const name of vouchedFor) {
      if (direct.some((peer) => peer.member === name)) continue;
      agent.withdraw("introduction", name);
      vouchedFor.delete(name);
    }
  };
  const publish = async (): Promise<void> => {
    if (tellings > 0) for (const { member: name } of peers.list().slice(0, toldAtOnceMax)) agent.contact(name);
    tellings = Math.max(0, tellings - 1);
    agent.publish("profile", { authorityPem: options.authorityPem, controlAddresses: [options.address()], protocolVersion });
    agent.publish("nodes", nodesRecord(directory.list()));
    agent.publish("pledge", pledgeRecord(await metadata.pledge(), options.hosted.bySite()));
    agent.publish("revocations", revocationsRecord(await metadata.listEnrolments(), await metadata.listRevokedSerials(), clock.wallMs()));
    agent.publish("withdrawals", withdrawalsRecord(await metadata.listWithdrawals(), clock.wallMs()));
    agent.publish("catalogue", await catalogueRecord(metadata, { member, nowMs: clock.wallMs() }));
  };
  const stopping = new AbortController();
  const publishOn = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const startedMs = clock.monotonicMs();
      await publish().catch((error: unknown) => log.warn("not told to the others", { reason: toCollectiveError(error).message }));
      await clock
        .sleep(Math.max(publishIntervalMs, (clock.monotonicMs() - startedMs) * pauseFactor), stopping.signal)
        .catch(() => undefined);
    }
  };
  let publishing = Promise.resolve();
  let following: Disposable | undefined;
  return {
    agent,
    states: () => new Map(agent.snapshot().members.map(({ name, state }) => [name, state])),
    latencyMs: clients.latencyMs,
    call: clients.call,
    introductions: agent.introductions,
    hint: (name, address) => {
      clients.hint(name, address);
      if (known.has(name)) agent.contact(name);
    },
    start: () => {
      agent.setAddresses([options.address()]);
      agent.start();
      following = peers.onChange(follow);
      follow();
      publishing = publishOn();
    },
    stop: async () => {
      stopping.abort();
      following?.[Symbol.dispose]();
      await Promise.all([publishing, admitting]);
      await agent.stop();
    },
  };
}
