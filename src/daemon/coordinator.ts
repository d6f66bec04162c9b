/**
 * A coordinator, put together: the place to start reading. Data directory:
 *
 *   authority/ca.pem, ca.key   the member's own certificate authority, made on first start
 *   credentials/               the coordinator's certificate and the authorities it trusts
 *   metadata.db                names, chunks, nodes
 */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Identity, localNameOf, siteOf } from "../../protocol/ids.ts";
import { openContexts } from "../client/context-file.ts";
import { createAccessHandlers } from "../coordinator/access-handlers.ts";
import { createNodeDirectory } from "../coordinator/directory.ts";
import { startMaintenance } from "../coordinator/maintenance.ts";
import { createNamespaceHandlers } from "../coordinator/namespace-handlers.ts";
import type { CoordinatorService } from "../coordinator/service.ts";
import { createSystemHandlers, personValidityMs } from "../coordinator/system-handlers.ts";
import { createTicketOffice } from "../coordinator/tickets.ts";
import { createTransferHandlers } from "../coordinator/transfer-handlers.ts";
import type { CoordinatorConfig } from "../core/config.ts";
import { formatHostPort } from "../core/units.ts";
import { version } from "../core/version.ts";
import { openDatabase } from "../db/database.ts";
import { metadataApplicationId, metadataMigrations } from "../meta/migrations.ts";
import { createSqliteMetadata } from "../meta/sqlite.ts";
import { createControlApp } from "../net/control-app.ts";
import { startControlServer } from "../net/control-server.ts";
import { createDataClient } from "../net/data-client.ts";
import { authorityFiles } from "../pki/authority-folder.ts";
import { credentialFiles, readOptional } from "../pki/credential-files.ts";
import { loadCredentials, watchCredentials } from "../pki/credentials.ts";
import { createSigner } from "../pki/ticket.ts";
import { readAuthority } from "../pki/trust-bundle.ts";
import { authorityDirOf } from "./authority.ts";
import { authorityJob, type CertificateProcess, createCertificateProcess, enrolJob } from "./certificate-process.ts";
import { startRenewal, usableCredentials } from "./renewal.ts";
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
  const credentialsDir = certDir ?? join(config.dataDir, "credentials");
  const identity: Identity = { kind: "coordinator", name: member };
  const enrol = () => certificates.run(enrolJob({ dataDir: config.dataDir, credentialsDir, identity, validityMs: config.certValidityMs }));
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
    const authorityPem = await prepare({ member, config, enrol, credentialsDir, certificates }, { ...around, log });
    let credentials = await loadCredentials(credentialsDir);
    let signer = createSigner(credentials.privateKeyPem);
    const metadata = createSqliteMetadata({ db, clock });
    const directory = await createNodeDirectory({ metadata, clock, log });
    const tickets = createTicketOffice({ member, signer: () => signer, directory, clock, random });
    let address = formatHostPort(config.address);
    const service: CoordinatorService = {
      member,
      get address() {
        return address;
      },
      version,
      metadata,
      directory,
      tickets,
      certificates: { authorityPem, issue: (request) => certificates.run({ job: "issue", dataDir: config.dataDir, ...request }) },
      credentials: () => credentials,
      nodes: createDataClient(() => credentials),
      certValidityMs: config.certValidityMs,
      startedMonotonicMs: clock.monotonicMs(),
      clock,
      log,
    };
    const handlers = {
      ...createNamespaceHandlers(service),
      ...createTransferHandlers(service),
      ...createSystemHandlers(service),
      ...createAccessHandlers(service),
    };
    const server = await startControlServer({
      ...config.address,
      credentials,
      clock,
      app: (identify) => createControlApp({ handlers, identify, log }),
    });
    address = advertisedAddress({ advertise: config.advertise, listen: config.address, port: server.port });
    if (config.context) await writeAdministratorContext({ member, address }, around);

    const watch = watchCredentials(
      credentialsDir,
      { clock, intervalMs: credentialPollMs, log, revision: credentials.revision },
      (fresh) => {
        credentials = fresh;
        signer = createSigner(fresh.privateKeyPem);
        server.reload(fresh);
      },
    );
    const renewal = startRenewal({ ...around, log }, { credentials: () => credentials, renew: async () => void (await enrol()) });
    const maintenance = startMaintenance(service);
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      watch[Symbol.dispose]();
      await Promise.all([renewal.stop(), maintenance.stop(), server.stop()]);
      await directory.persist();
      await metadata.close();
    };
    return {
      name: member,
      address,
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
  readonly enrol: () => Promise<unknown>;
  readonly certificates: CertificateProcess;
}

/**
 * Sees that the member's authority, the coordinator's certificate and the administrator's are there;
 * what is missing is made by one child process. Answers the authority's certificate.
 */
async function prepare({ member, config, credentialsDir, enrol, certificates }: Preparation, around: Surroundings): Promise<string> {
  const nowMs = around.clock.wallMs();
  const authorityFile = join(authorityDirOf(config.dataDir), authorityFiles.certificate);
  const before = await readOptional(authorityFile);
  const jobs: Promise<unknown>[] = [];
  if (before === undefined) jobs.push(certificates.run(authorityJob(config.dataDir, member)));
  else assertOwnSite(before, { member, dataDir: config.dataDir });
  if (!(await usableCredentials(credentialsDir, { kind: "coordinator", name: member }, nowMs))) jobs.push(enrol());
  if (config.context) {
    const administrator: Identity = { kind: "user", name: member };
    const { folder } = openContexts(around.home).credentials(localNameOf(member));
    const known = await usableCredentials(folder, administrator, nowMs);
    // Left over from a collective of the same name that was thrown away: its key goes too.
    const newKey = known !== undefined && known.authorityPem !== before;
    if (!known || newKey) {
      const { dataDir } = config;
      jobs.push(
        certificates.run(enrolJob({ dataDir, credentialsDir: folder, identity: administrator, validityMs: personValidityMs, newKey })),
      );
    }
  }
  await Promise.all(jobs);
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

/** So that whoever starts a coordinator can use it at once: the person with the member's own name. */
async function writeAdministratorContext(
  { member, address }: { member: GlobalName; address: string },
  { home, clock, log }: Surroundings,
): Promise<void> {
  const name = localNameOf(member);
  await openContexts(home).put(name, { member, coordinator: address, identity: member, created: new Date(clock.wallMs()).toISOString() });
  log.tagged("coordinator").debug("context written", { context: name, home });
}
