/**
 * A coordinator, put together: the place to start reading. Data directory:
 *
 *   authority/ca.pem, ca.key   the member's own certificate authority, made on first start
 *   credentials/               the coordinator's certificate and the authorities it trusts
 *   metadata.db                names, chunks, nodes, people, other members
 */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Identity, localNameOf, siteOf } from "../../protocol/ids.ts";
import { openContexts } from "../client/context-file.ts";
import { createPopularity, readCounting } from "../cluster/popularity.ts";
import { createAccessHandlers } from "../coordinator/access-handlers.ts";
import { createAllNodes } from "../coordinator/all-nodes.ts";
import { createBootstrapHandlers } from "../coordinator/bootstrap-handlers.ts";
import { startBootstrapPeers } from "../coordinator/bootstrap-peers.ts";
import { createCertificateHandlers } from "../coordinator/certificate-handlers.ts";
import { createChangeFeed } from "../coordinator/change-feed.ts";
import { createNodeDirectory } from "../coordinator/directory.ts";
import { createFederation } from "../coordinator/federation.ts";
import { createFederationHandlers } from "../coordinator/federation-handlers.ts";
import { createFreeSpace } from "../coordinator/free-space.ts";
import { observeHealth } from "../coordinator/health.ts";
import { createHostHandlers } from "../coordinator/host-handlers.ts";
import { createHostedSpace } from "../coordinator/hosted-space.ts";
import { createHosting } from "../coordinator/hosting.ts";
import { createInodeHandlers } from "../coordinator/inode-handlers.ts";
import { createInviteHandlers } from "../coordinator/invite-handlers.ts";
import { createLeases } from "../coordinator/leases.ts";
import { createLocks } from "../coordinator/locks.ts";
import { startMaintenance } from "../coordinator/maintenance.ts";
import { observedHandlers, registerCoordinatorMetrics } from "../coordinator/metrics.ts";
import { createNamespaceHandlers } from "../coordinator/namespace-handlers.ts";
import { createPeers } from "../coordinator/peers.ts";
import { createRevocations } from "../coordinator/revocations.ts";
import { createRootHandlers } from "../coordinator/root-peering.ts";
import type { CoordinatorService } from "../coordinator/service.ts";
import { createSessionHandlers } from "../coordinator/session-handlers.ts";
import { createSystemHandlers } from "../coordinator/system-handlers.ts";
import { createTicketOffice } from "../coordinator/tickets.ts";
import { createToldRevocations } from "../coordinator/told-revocations.ts";
import { createTransferHandlers } from "../coordinator/transfer-handlers.ts";
import type { CoordinatorConfig } from "../core/config.ts";
import { formatHostPort, parseHostPort } from "../core/units.ts";
import { version } from "../core/version.ts";
import { openDatabase } from "../db/database.ts";
import { registerGossipMetrics } from "../gossip/metrics.ts";
import { gossipProfiles } from "../gossip/profile.ts";
import { metadataApplicationId, metadataMigrations } from "../meta/migrations.ts";
import { createSqliteMetadata } from "../meta/sqlite.ts";
import { createBootstrapApp } from "../net/bootstrap-app.ts";
import { startBootstrapServer } from "../net/bootstrap-server.ts";
import { createControlApp } from "../net/control-app.ts";
import { startControlServer } from "../net/control-server.ts";
import { createDataClient } from "../net/data-client.ts";
import { authorityFiles } from "../pki/authority-folder.ts";
import { credentialFiles, readOptional } from "../pki/credential-files.ts";
import { type Credentials, loadCredentials, watchCredentials, withTrusted } from "../pki/credentials.ts";
import { type Membership, readMembership } from "../pki/federation-root.ts";
import { needsRenewal } from "../pki/renewal.ts";
import { createSigner } from "../pki/ticket.ts";
import { readAuthority } from "../pki/trust-bundle.ts";
import { authorityDirOf } from "./authority.ts";
import { authorityJob, type CertificateJob, type CertificateProcess, createCertificateProcess, enrolJob } from "./certificate-process.ts";
import { knownCredentials, startRenewal, usableCredentials } from "./renewal.ts";
import { advertisedAddress, type RunningRole, type Surroundings } from "./role.ts";

const credentialPollMs = 1_000;

export interface CoordinatorSettings {
  readonly member: GlobalName;
  readonly config: CoordinatorConfig;
  readonly certDir?: string | undefined;
}

export async function startCoordinator({ member, config, certDir }: CoordinatorSettings, around: Surroundings): Promise<RunningRole> {
  const log = around.log.tagged("coordinator");
  const { clock, random } = around;
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const certificates = createCertificateProcess(around.program);
  if (!existsSync(join(authorityDirOf(config.dataDir), authorityFiles.certificate))) certificates.prepare();
  const credentialsDir = certDir ?? join(config.dataDir, "credentials");
  const identity: Identity = { kind: "coordinator", name: member };
  const ownJob = enrolJob({ dataDir: config.dataDir, credentialsDir, identity, validityMs: config.certValidityMs });
  // The database comes before the certificate, so a coordinator that has a certificate has had a database.
  const databasePath = join(config.dataDir, "metadata.db");
  if (certDir === undefined) await assertNotLost(databasePath, credentialsDir);
  const db = openDatabase({
    path: databasePath,
    applicationId: metadataApplicationId,
    migrations: metadataMigrations,
    log: log.tagged("db"),
  });
  try {
    const authorityPem = await prepare({ member, config, ownJob, credentialsDir, certificates }, { ...around, log });
    const metadata = createSqliteMetadata({ db, clock });
    await metadata.makeDurable();
    const peers = await createPeers(metadata);
    const withPeers = (saved: Credentials): Credentials =>
      withTrusted(
        saved,
        peers.list().map(({ authorityPem }) => authorityPem),
      );
    /** As they are on disk; those in use trust the peers, too. */
    let own = await loadCredentials(credentialsDir);
    let credentials = withPeers(own);
    let signer = createSigner(credentials.privateKeyPem);
    const revocations = await createRevocations(metadata);
    const directory = await createNodeDirectory({ metadata, revocations, clock, log });
    const hosted = createHostedSpace({ directory, clock });
    // What is told before both ports listen; only a port that the system is to choose is not known yet.
    let address = advertisedControl(config, config.address.port);
    let bootstrapAddress = advertisedBootstrap(config, config.bootstrapAddress.port);
    const membership = await membershipIn(config.federationRoot, authorityPem);
    const federation = createFederation({
      ...{ member, authorityPem, peers, metadata, directory, hosted, clock, random, log },
      policy: config.trust,
      profile: gossipProfiles[config.gossipProfile],
      address: () => address,
      credentials: () => credentials,
      signer: () => signer,
    });
    const toldRevocations = createToldRevocations({ peers, federation, clock });
    const allNodes = await createAllNodes({ metadata, directory, peers, federation, clock });
    const { giveToGet } = config;
    const changes = createChangeFeed({ metadata, clock, random });
    const service: CoordinatorService = {
      member,
      get address() {
        return address;
      },
      version,
      metadata,
      directory,
      allNodes,
      freeSpace: createFreeSpace(directory),
      hosted,
      hosting: createHosting({ member, metadata, directory, allNodes, peers, federation, giveToGet, clock }),
      giveToGet,
      revocations,
      toldRevocations,
      tickets: createTicketOffice({ member, signer: () => signer, allNodes, clock, random }),
      certificates: { authorityPem, issue: (request) => certificates.run({ job: "issue", dataDir: config.dataDir, ...request }) },
      credentials: () => credentials,
      signer: () => signer,
      peers,
      federation,
      membership,
      popularity: createPopularity(readCounting),
      changes,
      leases: createLeases({ clock, onRecall: changes.nudge }),
      locks: createLocks({ clock, hasSessions: await metadata.hasSessions() }),
      nodes: createDataClient(() => credentials),
      get bootstrapAddress() {
        return bootstrapAddress;
      },
      redemptions: { redeemed: 0, refused: 0, limited: 0 },
      certValidityMs: config.certValidityMs,
      startedMonotonicMs: clock.monotonicMs(),
      clock,
      random,
      log,
    };
    registerCoordinatorMetrics(around.metrics, service);
    registerGossipMetrics(around.metrics, federation.agent);
    const handlers = observedHandlers(
      {
        ...createNamespaceHandlers(service),
        ...createInodeHandlers(service),
        ...createSessionHandlers(service),
        ...createTransferHandlers(service),
        ...createSystemHandlers(service),
        ...createAccessHandlers(service),
        ...createCertificateHandlers(service),
        ...createInviteHandlers(service),
        ...createFederationHandlers(service),
        ...createHostHandlers(service),
      },
      { metrics: around.metrics, clock },
    );
    // The first of two listeners, so that the second one's failure has only this one to close.
    const bootstrap = await startBootstrapServer({
      ...config.bootstrapAddress,
      credentials,
      clock,
      app: (sourceOf) => createBootstrapApp({ handlers: createBootstrapHandlers(service), sourceOf, log }),
    });
    const server = await startControlServer({
      ...config.address,
      credentials,
      clock,
      admit: (caller) => {
        revocations.assertInForce(caller);
        toldRevocations.assertInForce(caller);
      },
      app: (identify, strangerOf) => createControlApp({ handlers, identify, rootHandlers: createRootHandlers(service), strangerOf, log }),
    }).catch(async (error: unknown) => {
      await bootstrap.stop();
      throw error;
    });
    address = advertisedControl(config, server.port);
    bootstrapAddress = advertisedBootstrap(config, bootstrap.port);
    if (config.context) await writeAdministratorContext({ member, address }, around);

    const use = (saved: Credentials): void => {
      const fresh = withPeers(saved);
      own = saved;
      if (fresh.revision === credentials.revision) return;
      credentials = fresh;
      signer = createSigner(fresh.privateKeyPem);
      server.reload(fresh);
      bootstrap.reload(fresh);
    };
    const watch = watchCredentials(credentialsDir, { clock, intervalMs: credentialPollMs, log, revision: own.revision }, use);
    peers.onChange(() => use(own));
    federation.start();
    const bootstrapPeers = startBootstrapPeers(service, config.bootstrapPeers);
    const renew = async (): Promise<void> => {
      await certificates.run(ownJob);
      use(await loadCredentials(credentialsDir));
    };
    const renewal = startRenewal({ ...around, log }, { credentials: () => credentials, renew });
    const maintenance = startMaintenance(service);
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      watch[Symbol.dispose]();
      changes.stop();
      await bootstrapPeers.stop();
      // While others can still be told that it leaves.
      await federation.stop();
      await Promise.all([renewal.stop(), maintenance.stop(), server.stop(), bootstrap.stop()]);
      await directory.persist();
      await metadata.close();
    };
    return {
      name: member,
      address,
      health: () => observeHealth(service),
      stop: () => {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (error) {
    await db.close();
    throw error;
  }
}

function advertisedControl({ advertise, address }: CoordinatorConfig, port: number): string {
  return advertisedAddress({ advertise, listen: address, port });
}

/** On the host that others are told of, where one is configured; else where it listens. */
function advertisedBootstrap({ advertise, bootstrapAddress }: CoordinatorConfig, port: number): string {
  const host = advertise === undefined ? undefined : parseHostPort(advertise).host;
  return advertisedAddress({ advertise: host && formatHostPort({ host, port }), listen: bootstrapAddress, port });
}

/** A fresh, empty namespace in place of a lost one would look as if all files were gone, and its garbage collection would see to it. */
async function assertNotLost(databasePath: string, credentialsDir: string): Promise<void> {
  if (existsSync(databasePath)) return;
  if ((await readOptional(join(credentialsDir, credentialFiles.certificate))) === undefined) return;
  throw new CollectiveError("corrupt", `${databasePath} is missing, though this coordinator has run before`, {
    hint: "restore it from a backup, or begin anew with another --data-dir",
  });
}

interface Preparation {
  readonly member: GlobalName;
  readonly config: CoordinatorConfig;
  readonly credentialsDir: string;
  /** Certifies the coordinator. */
  readonly ownJob: CertificateJob;
  readonly certificates: CertificateProcess;
}

/**
 * Sees that the member's authority, the coordinator's certificate and the administrator's are there;
 * what is missing is made by one child process. Answers the authority's certificate.
 */
async function prepare({ member, config, credentialsDir, ownJob, certificates }: Preparation, around: Surroundings): Promise<string> {
  const nowMs = around.clock.wallMs();
  const authorityFile = join(authorityDirOf(config.dataDir), authorityFiles.certificate);
  const before = await readOptional(authorityFile);
  // All are known before the first is run, so that one child does them.
  const jobs: CertificateJob[] = [];
  if (before === undefined) jobs.push(authorityJob(config.dataDir, member));
  else assertOwnSite(before, { member, dataDir: config.dataDir });
  if (!(await usableCredentials(credentialsDir, { kind: "coordinator", name: member }, nowMs))) jobs.push(ownJob);
  if (config.context) {
    const administrator: Identity = { kind: "user", name: member };
    const { folder } = openContexts(around.home).credentials(localNameOf(member));
    const known = await knownCredentials(folder, administrator);
    // Left over from a collective of the same name that was thrown away: its key goes too.
    const newKey = known !== undefined && known.authorityPem !== before;
    if (!known || newKey || needsRenewal(known, nowMs)) {
      const { dataDir } = config;
      jobs.push(enrolJob({ dataDir, credentialsDir: folder, identity: administrator, validityMs: config.certValidityMs, newKey }));
    }
  }
  await Promise.all(jobs.map((job) => certificates.run(job)));
  if (before === undefined) around.log.info("made a certificate authority", { site: siteOf(member), path: authorityFile });
  return before ?? (await readFile(authorityFile, "utf8"));
}

function assertOwnSite(authorityPem: string, { member, dataDir }: { member: GlobalName; dataDir: string }): void {
  const { site } = readAuthority(authorityPem);
  if (site === siteOf(member)) return;
  throw new CollectiveError("configuration", `${dataDir} belongs to ${site}, not to ${siteOf(member)}`, {
    hint: "name the right --member, or another --data-dir",
  });
}

async function membershipIn(file: string | undefined, authorityPem: string): Promise<Membership | undefined> {
  if (file === undefined) return undefined;
  try {
    return readMembership(await readFile(file, "utf8"), authorityPem);
  } catch (error) {
    const { message, hint } = toCollectiveError(error);
    throw new CollectiveError("configuration", `--federation-root ${file}: ${message}`, { hint, cause: error });
  }
}

/** So that whoever starts a coordinator can use it at once: the person with the member's own name. */
async function writeAdministratorContext(
  { member, address }: { member: GlobalName; address: string },
  { home, clock, log }: Surroundings,
): Promise<void> {
  const name = localNameOf(member);
  await openContexts(home).put(name, { member, coordinator: address, identity: member, created: new Date(clock.wallMs()).toISOString() });
  log.tagged("coordinator").debug("context written", { context: name, home });
}
