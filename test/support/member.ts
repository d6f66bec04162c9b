/**
 * One member inside the test's process: its authority, its coordinator behind a real control server,
 * and nodes behind real data servers, all over TLS on loopback. Time stands still until a test moves
 * it, so a node is alive for as long as nobody says otherwise.
 */
import { type ChunkId, type GlobalName, globalName, type Identity, parseLocalName, type Site, siteOf } from "../../protocol/ids.ts";
import { batchBytesMax, gibibyte, ticketLifetimeMs } from "../../protocol/limits.ts";
import type { TicketedNode } from "../../protocol/schema.ts";
import { type TicketOperation, ticketIdBytes } from "../../protocol/ticket.ts";
import { createMemoryChunkStore } from "../../src/chunk/memory.ts";
import type { ChunkStore } from "../../src/chunk/store.ts";
import { type ChunkStores, createChunkStores } from "../../src/chunk/stores.ts";
import { createRemote, type Remote } from "../../src/client/remote.ts";
import { createPopularity, readCounting } from "../../src/cluster/popularity.ts";
import { createAccessHandlers } from "../../src/coordinator/access-handlers.ts";
import { createAllNodes } from "../../src/coordinator/all-nodes.ts";
import { createBootstrapHandlers } from "../../src/coordinator/bootstrap-handlers.ts";
import { createCertificateHandlers } from "../../src/coordinator/certificate-handlers.ts";
import { createChangeFeed } from "../../src/coordinator/change-feed.ts";
import { createNodeDirectory } from "../../src/coordinator/directory.ts";
import { createFederation } from "../../src/coordinator/federation.ts";
import { createFederationHandlers } from "../../src/coordinator/federation-handlers.ts";
import { createFreeSpace } from "../../src/coordinator/free-space.ts";
import { createHostHandlers } from "../../src/coordinator/host-handlers.ts";
import { createHostedSpace } from "../../src/coordinator/hosted-space.ts";
import { createHosting } from "../../src/coordinator/hosting.ts";
import { createInodeHandlers } from "../../src/coordinator/inode-handlers.ts";
import { createInviteHandlers } from "../../src/coordinator/invite-handlers.ts";
import { createLeases } from "../../src/coordinator/leases.ts";
import { createLocks } from "../../src/coordinator/locks.ts";
import { createNamespaceHandlers } from "../../src/coordinator/namespace-handlers.ts";
import { nodeTrustSince } from "../../src/coordinator/node-trust.ts";
import { createPeers } from "../../src/coordinator/peers.ts";
import { createRevocations } from "../../src/coordinator/revocations.ts";
import { createRootHandlers } from "../../src/coordinator/root-peering.ts";
import type { CoordinatorService } from "../../src/coordinator/service.ts";
import { createSessionHandlers } from "../../src/coordinator/session-handlers.ts";
import { createSystemHandlers } from "../../src/coordinator/system-handlers.ts";
import { createTicketOffice } from "../../src/coordinator/tickets.ts";
import { createToldRevocations } from "../../src/coordinator/told-revocations.ts";
import { createTransferHandlers } from "../../src/coordinator/transfer-handlers.ts";
import { withdrawalsSince } from "../../src/coordinator/withdrawals.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { TrustPolicy } from "../../src/core/config.ts";
import { type Log, silentLog } from "../../src/core/log.ts";
import { type Random, systemRandom } from "../../src/core/random.ts";
import { openDatabase } from "../../src/db/database.ts";
import { lanProfile } from "../../src/gossip/profile.ts";
import { metadataApplicationId, metadataMigrations } from "../../src/meta/migrations.ts";
import { createSqliteMetadata } from "../../src/meta/sqlite.ts";
import type { MetadataStore } from "../../src/meta/store.ts";
import { createBootstrapApp } from "../../src/net/bootstrap-app.ts";
import { type BootstrapServer, startBootstrapServer } from "../../src/net/bootstrap-server.ts";
import { type ControlHandlers, createControlApp } from "../../src/net/control-app.ts";
import { type ControlClient, createControlClient } from "../../src/net/control-client.ts";
import { type ControlServer, startControlServer } from "../../src/net/control-server.ts";
import { createDataClient } from "../../src/net/data-client.ts";
import { type DataServer, startDataServer } from "../../src/net/data-server.ts";
import { createNodeApp } from "../../src/node/app.ts";
import { createCoordinatorTrust } from "../../src/node/trust.ts";
import { createWithdrawals } from "../../src/node/withdrawals.ts";
import { type Authority, createAuthority } from "../../src/pki/authority.ts";
import { assembleCredentials, type Credentials, withTrusted } from "../../src/pki/credentials.ts";
import type { Membership } from "../../src/pki/federation-root.ts";
import { createSigner, createTicketVerifier, type Signer, signTicket } from "../../src/pki/ticket.ts";
import { alice, type HandClock, handClock, leafOf } from "./pki.ts";

export const loopback = "127.0.0.1";

/** A name of the member's own site. */
export function nameAt(local: string, member: GlobalName = alice): GlobalName {
  return globalName(parseLocalName(local), siteOf(member));
}

export function memoryMetadata(clock: HandClock): MetadataStore {
  const db = openDatabase({ path: ":memory:", applicationId: metadataApplicationId, migrations: metadataMigrations, log: silentLog });
  return createSqliteMetadata({ db, clock });
}

export interface TestMember extends AsyncDisposable {
  readonly member: GlobalName;
  readonly clock: HandClock;
  readonly authority: Authority;
  readonly service: CoordinatorService;
  readonly metadata: MetadataStore;
  readonly server: ControlServer;
  readonly bootstrap: BootstrapServer;
  /** `host:port` of the control API. */
  readonly address: string;
  /** Signs tickets. */
  readonly signer: Signer;
  readonly handlers: ControlHandlers;
  credentialsOf(identity: Identity, options?: { readonly trusted?: readonly string[] }): Promise<Credentials>;
  /** What the coordinator itself uses, exchangeable by `server.reload`. */
  readonly credentials: Credentials;
  /** Calls as this identity; the member's administrator if none is given. */
  client(credentials?: Credentials, random?: Random, session?: string): ControlClient;
  /** As the administrator, or whoever the credentials name. */
  remote(options?: { readonly log?: Log; readonly credentials?: Credentials }): Remote;
  startNode(local: string, options?: TestNodeOptions): Promise<TestNode>;
  /** Those that were started. */
  nodes(): readonly TestNode[];
}

export interface TestMemberOptions {
  /** alice unless told. */
  readonly member?: GlobalName;
  /** Of trust in members that others vouch for. */
  readonly policy?: TrustPolicy;
  /** 1 unless told. */
  readonly giveToGet?: number;
  /** What a federation root has signed for the member. */
  readonly membershipOf?: ((authority: Authority) => Promise<Membership>) | undefined;
  readonly metadata?: (clock: HandClock) => MetadataStore;
  readonly authority?: Authority;
  /** Authorities of other sites, for the coordinator and its nodes. */
  readonly trusted?: readonly string[];
  /** Wraps what the coordinator does, to get in its way. */
  readonly wrapHandlers?: (handlers: ControlHandlers) => ControlHandlers;
}

export interface TestNodeOptions {
  readonly capacityBytes?: number;
  /** Of the member's own chunks. */
  readonly store?: ChunkStore;
  /** In place of `store` and those in memory for guests. */
  readonly stores?: ChunkStores;
  /** Stands in front of the data API; answers undefined to let a request pass. */
  readonly intercept?: (request: Request) => Response | undefined | Promise<Response | undefined>;
}

export interface TestNode {
  readonly name: GlobalName;
  /** Of the member's own chunks. */
  readonly store: ChunkStore;
  readonly stores: ChunkStores;
  readonly server: DataServer;
  readonly address: string;
  readonly credentials: Credentials;
  readonly signer: Signer;
  /** As a heartbeat does. */
  register(): Promise<void>;
  /** Closes the server at once; the coordinator does not know yet. */
  kill(): Promise<void>;
}

export async function startTestMember(options: TestMemberOptions = {}): Promise<TestMember> {
  const { member = alice } = options;
  const clock = handClock(Date.now());
  const authority = options.authority ?? (await createAuthority({ site: siteOf(member), member, clock }));
  const credentialsOf: TestMember["credentialsOf"] = async (identity, { trusted = [] } = {}) => {
    const { certificatePem, privateKeyPem } = await leafOf(authority, identity, { nowMs: clock.nowMs });
    return assembleCredentials({ certificatePem, privateKeyPem, authorityPem: authority.certificatePem, trustedAuthorityPems: trusted });
  };
  const trusted = options.trusted ?? [];
  const own = await credentialsOf({ kind: "coordinator", name: member }, { trusted });
  const administrator = await credentialsOf({ kind: "user", name: member });
  const signer = createSigner(own.privateKeyPem);
  const metadata = options.metadata?.(clock) ?? memoryMetadata(clock);
  const peers = await createPeers(metadata);
  let credentials = own;
  const revocations = await createRevocations(metadata);
  const directory = await createNodeDirectory({ metadata, revocations, clock, log: silentLog });
  const hosted = createHostedSpace({ directory, clock });
  let address = `${loopback}:0`;
  let bootstrapAddress = `${loopback}:0`;
  // By a clock that goes on, for tests that start it.
  const federation = createFederation({
    ...{ member, authorityPem: authority.certificatePem, peers, metadata, directory, hosted, random: systemRandom, log: silentLog },
    ...{
      policy: options.policy ?? ("introduced" as const),
      profile: lanProfile,
      clock: systemClock,
      address: () => address,
      credentials: () => credentials,
      signer: () => signer,
    },
  });
  const toldRevocations = createToldRevocations({ peers, federation, clock });
  const allNodes = await createAllNodes({ metadata, directory, peers, federation, clock });
  const { giveToGet = 1 } = options;
  const changes = createChangeFeed({ metadata, clock, random: systemRandom });
  const service: CoordinatorService = {
    member,
    get address() {
      return address;
    },
    version: "0.0.0-test",
    metadata,
    directory,
    allNodes,
    freeSpace: createFreeSpace(directory),
    hosted,
    hosting: createHosting({ member, metadata, directory, allNodes, peers, federation, giveToGet, clock }),
    giveToGet,
    revocations,
    toldRevocations,
    tickets: createTicketOffice({ member, signer: () => signer, allNodes, clock, random: systemRandom }),
    certificates: {
      authorityPem: authority.certificatePem,
      issue: (request) => authority.issue({ ...request, nowMs: clock.wallMs() }),
    },
    credentials: () => credentials,
    signer: () => signer,
    peers,
    federation,
    membership: options.membershipOf && (await options.membershipOf(authority)),
    popularity: createPopularity(readCounting),
    changes,
    leases: createLeases({ clock, onRecall: changes.nudge }),
    locks: createLocks({ clock, hasSessions: await metadata.hasSessions() }),
    nodes: createDataClient(() => credentials),
    get bootstrapAddress() {
      return bootstrapAddress;
    },
    redemptions: { redeemed: 0, refused: 0, limited: 0 },
    certValidityMs: 24 * 60 * 60_000,
    startedMonotonicMs: clock.monotonicMs(),
    clock,
    random: systemRandom,
    log: silentLog,
  };
  const made = {
    ...createNamespaceHandlers(service),
    ...createInodeHandlers(service),
    ...createSessionHandlers(service),
    ...createTransferHandlers(service),
    ...createSystemHandlers(service),
    ...createInviteHandlers(service),
    ...createCertificateHandlers(service),
    ...createAccessHandlers(service),
    ...createFederationHandlers(service),
    ...createHostHandlers(service),
  };
  const handlers = options.wrapHandlers?.(made) ?? made;
  const server = await startControlServer({
    host: loopback,
    port: 0,
    credentials,
    clock,
    admit: (caller) => {
      revocations.assertInForce(caller);
      toldRevocations.assertInForce(caller);
    },
    app: (identify, strangerOf) =>
      createControlApp({ handlers, identify, rootHandlers: createRootHandlers(service), strangerOf, log: silentLog }),
  });
  address = `${loopback}:${server.port}`;
  // Its connections end by a clock that goes on.
  const bootstrap = await startBootstrapServer({
    host: loopback,
    port: 0,
    credentials,
    clock: systemClock,
    app: (sourceOf) => createBootstrapApp({ handlers: createBootstrapHandlers(service), sourceOf, log: silentLog }),
  });
  bootstrapAddress = `${loopback}:${bootstrap.port}`;
  peers.onChange(() => {
    const authorities = peers.list().map(({ authorityPem }) => authorityPem);
    credentials = withTrusted(own, authorities);
    server.reload(credentials);
  });
  const nodes: TestNode[] = [];
  return {
    member,
    clock,
    authority,
    service,
    metadata,
    server,
    bootstrap,
    address,
    signer,
    handlers,
    credentials: own,
    credentialsOf,
    client: (own = administrator, random = systemRandom, session) =>
      createControlClient({ address, server: { kind: "coordinator", name: member }, credentials: () => own, session, clock, random }),
    remote: ({ log = silentLog, credentials: own = administrator } = {}) =>
      createRemote({ member, address, credentials: () => own, clock, random: systemRandom, log }),
    nodes: () => nodes,
    startNode: async (local, nodeOptions) => {
      const node = await startTestNode({ local, service, signer, clock, credentialsOf, trusted }, nodeOptions);
      nodes.push(node);
      return node;
    },
    [Symbol.asyncDispose]: async () => {
      changes.stop();
      await federation.stop();
      await Promise.all([server.stop(), bootstrap.stop(), ...nodes.map((node) => node.kill())]);
      await metadata.close();
    },
  };
}

interface NodeSurroundings {
  readonly local: string;
  readonly service: CoordinatorService;
  readonly signer: Signer;
  readonly clock: HandClock;
  readonly credentialsOf: TestMember["credentialsOf"];
  readonly trusted: readonly string[];
}

async function startTestNode(around: NodeSurroundings, options: TestNodeOptions = {}): Promise<TestNode> {
  const { service, clock } = around;
  const name = nameAt(around.local, service.member);
  const capacityBytes = options.capacityBytes ?? gibibyte;
  const site = siteOf(service.member);
  const openGuest = async (): Promise<ChunkStore> => createMemoryChunkStore({ capacityBytes });
  const own = options.store ?? createMemoryChunkStore({ capacityBytes });
  const stores = options.stores ?? createChunkStores({ site, own, guests: new Map(), unusable: [], openGuest });
  const credentials = await around.credentialsOf({ kind: "node", name }, { trusted: around.trusted });
  const signer = createSigner(credentials.privateKeyPem);
  const withdrawals = createWithdrawals();
  const trust = createCoordinatorTrust({ log: silentLog, onChange: () => server.reload(trust.addTo(credentials)) });
  const tickets = createTicketVerifier({
    audience: name,
    coordinatorKeyFor: (issuer) => (issuer === site ? around.signer.publicKeyRaw : trust.keyOf(issuer)),
    isWithdrawn: withdrawals.isWithdrawn,
    clock,
    cacheEntriesMax: 16,
  });
  const sources = createDataClient(() => credentials);
  const app = createNodeApp({ name, stores, tickets, sources, signer: () => signer, clock, log: silentLog });
  const server = await startDataServer({
    host: loopback,
    port: 0,
    credentials,
    clock,
    fetch: async (request) => (await options.intercept?.(request)) ?? (await app.fetch(request)),
  });
  const address = `${loopback}:${server.port}`;
  const node: TestNode = {
    name,
    store: stores.find(site),
    stores,
    server,
    address,
    credentials,
    signer,
    register: async () => {
      const { usedBytes, freeBytes, chunkCount } = stores.usage();
      const fresh = await withdrawalsSince(service, withdrawals.revision);
      if (fresh) withdrawals.replace(fresh);
      const trusted = nodeTrustSince(service, trust.revision);
      if (trusted) trust.replace(trusted);
      await service.directory.record(
        { name, publicKeyRaw: signer.publicKeyRaw },
        { address, capacityBytes, usedBytes, freeBytes, chunkCount, version: "0.0.0-test", guests: stores.guests() },
      );
    },
    kill: () => server.stop(),
  };
  await node.register();
  return node;
}

export interface TicketRequest {
  readonly operation: TicketOperation;
  /** Whom it is for, if not the node it is shown to. */
  readonly node?: GlobalName;
  readonly chunks: readonly ChunkId[];
  readonly issuer?: Site;
  readonly owner?: Site;
  readonly holder?: string;
  readonly bytesMax?: number;
  readonly notBeforeMs?: number;
  readonly expiresMs?: number;
  /** Signs in the coordinator's place. */
  readonly signer?: Signer;
}

/** A node to speak to with a ticket as the coordinator signs it, or as it never would. */
export function ticketed(member: TestMember, node: Pick<TestNode, "name" | "address">, request: TicketRequest): TicketedNode {
  const nowMs = member.clock.nowMs;
  const ticket = signTicket(request.signer ?? member.signer, {
    version: 1,
    id: systemRandom.bytes(ticketIdBytes),
    issuer: request.issuer ?? siteOf(member.member),
    owner: request.owner,
    audience: request.node ?? node.name,
    holder: request.holder ?? member.member,
    operation: request.operation,
    chunks: request.chunks,
    bytesMax: request.bytesMax ?? batchBytesMax,
    notBeforeMs: request.notBeforeMs ?? nowMs,
    expiresMs: request.expiresMs ?? nowMs + ticketLifetimeMs,
  });
  return { node: node.name, address: node.address, ticket };
}

/** Somebody of another site, who trusts this member's authority. */
export async function foreignCredentials(member: TestMember, identity: Identity, authority: Authority): Promise<Credentials> {
  const { certificatePem, privateKeyPem } = await leafOf(authority, identity);
  return assembleCredentials({
    certificatePem,
    privateKeyPem,
    authorityPem: authority.certificatePem,
    trustedAuthorityPems: [member.authority.certificatePem],
  });
}
