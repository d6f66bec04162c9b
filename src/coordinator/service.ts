/** What the handlers of the control API share. */
import type { GlobalName, Identity } from "../../protocol/ids.ts";
import type { NodeSummary } from "../../protocol/schema.ts";
import type { Popularity } from "../cluster/popularity.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { MetadataStore } from "../meta/store.ts";
import type { DataClient } from "../net/data-client.ts";
import type { Credentials } from "../pki/credentials.ts";
import type { Membership } from "../pki/federation-root.ts";
import type { Signer } from "../pki/ticket.ts";
import type { AllNodes } from "./all-nodes.ts";
import type { ChangeFeed } from "./change-feed.ts";
import type { NodeDirectory } from "./directory.ts";
import type { Federation } from "./federation.ts";
import type { FreeSpace } from "./free-space.ts";
import type { HostedSpace } from "./hosted-space.ts";
import type { Hosting } from "./hosting.ts";
import type { Leases } from "./leases.ts";
import type { Locks } from "./locks.ts";
import type { Peers } from "./peers.ts";
import type { Revocations } from "./revocations.ts";
import type { TicketOffice } from "./tickets.ts";
import type { ToldRevocations } from "./told-revocations.ts";

export interface CertificateIssuer {
  /** Of the member's own authority. */
  readonly authorityPem: string;
  /** Certifies the key of a request under the identity given, and answers PEM. Throws as `Authority.issue`. */
  issue(request: { readonly csrPem: string; readonly identity: Identity; readonly validityMs: number }): Promise<string>;
}

/** Attempts to redeem a code since the start, by how they ended. */
export interface RedemptionCounts {
  redeemed: number;
  refused: number;
  /** Not looked at, because too many wrong codes came before. */
  limited: number;
}

export interface CoordinatorService {
  readonly member: GlobalName;
  readonly address: string;
  readonly version: string;
  readonly metadata: MetadataStore;
  /** Of the own nodes. */
  readonly directory: NodeDirectory;
  readonly allNodes: AllNodes;
  /** Of the own nodes, less what was offered since they told. */
  readonly freeSpace: FreeSpace<NodeSummary>;
  /** What others have here. */
  readonly hosted: HostedSpace;
  /** What this member has, and may have, at others. */
  readonly hosting: Hosting;
  /** What others may use for each byte that they pledge. */
  readonly giveToGet: number;
  readonly revocations: Revocations;
  readonly toldRevocations: ToldRevocations;
  readonly tickets: TicketOffice;
  readonly certificates: CertificateIssuer;
  /** With whom is trusted now: the own authority, those of `trust/` and those of peers. */
  readonly credentials: () => Credentials;
  /** With the key of the certificate. */
  readonly signer: () => Signer;
  readonly peers: Peers;
  readonly federation: Federation;
  /** Of a federation root, where the member is under one. */
  readonly membership: Membership | undefined;
  /** Of what was located since the start. */
  readonly popularity: Popularity;
  readonly changes: ChangeFeed;
  readonly leases: Leases;
  readonly locks: Locks;
  /** For garbage, checks and copies from node to node: the coordinator never moves file bytes. */
  readonly nodes: DataClient;
  /** `host:port` that invite codes lead to. */
  readonly bootstrapAddress: string;
  readonly redemptions: RedemptionCounts;
  readonly certValidityMs: number;
  readonly startedMonotonicMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}
