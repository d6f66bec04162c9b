/**
 * A coordinator, put together: the place to start reading. Data directory:
 *
 *   authority/ca.pem, ca.key   the member's own certificate authority, made on first start
 *   credentials/               the coordinator's certificate and the authorities it trusts
 *   metadata.db                names, chunks, nodes
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Identity, localNameOf } from "../../protocol/ids.ts";
import { openContexts } from "../client/context-file.ts";
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
import { type Credentials, enrolFromAuthorityDir, loadCredentials, watchCredentials } from "../pki/credentials.ts";
import { createSigner } from "../pki/ticket.ts";
import { ownAuthority } from "./authority.ts";
import { needsRenewal, startRenewal } from "./renewal.ts";
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
  const { authority, dir: authorityDir, isNew } = await ownAuthority(config.dataDir, member, clock);
  if (isNew) log.info("made a certificate authority", { site: authority.site, path: join(authorityDir, "ca.pem") });
  const identity: Identity = { kind: "coordinator", name: member };
  const enrolment = {
    authorityDir,
    credentialsDir: certDir ?? join(config.dataDir, "credentials"),
    identity,
    clock,
  };
  const enrol = () => enrolFromAuthorityDir({ ...enrolment, validityMs: config.certValidityMs });
  let credentials = await ownCredentials(enrolment.credentialsDir, { identity, enrol, nowMs: clock.wallMs() });
  let signer = createSigner(credentials.privateKeyPem);

  const db = openDatabase({
    path: join(config.dataDir, "metadata.db"),
    applicationId: metadataApplicationId,
    migrations: metadataMigrations,
    log: log.tagged("db"),
  });
  try {
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
      authority,
      credentials: () => credentials,
      nodes: createDataClient(() => credentials),
      certValidityMs: config.certValidityMs,
      startedMonotonicMs: clock.monotonicMs(),
      clock,
      log,
    };
    const handlers = { ...createNamespaceHandlers(service), ...createTransferHandlers(service), ...createSystemHandlers(service) };
    const server = await startControlServer({
      ...config.address,
      credentials,
      clock,
      app: (identify) => createControlApp({ handlers, identify, log }),
    });
    address = advertisedAddress({ advertise: config.advertise, listen: config.address, port: server.port });
    if (config.context) await writeAdministratorContext({ member, address, authorityDir: enrolment.authorityDir }, around);

    const watch = watchCredentials(
      enrolment.credentialsDir,
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

/** What is there and still good for a while, or newly enrolled. */
export async function ownCredentials(
  dir: string,
  options: { identity: Identity; enrol: () => Promise<Credentials>; nowMs: number },
): Promise<Credentials> {
  try {
    const known = await loadCredentials(dir);
    if (
      known.identity.name === options.identity.name &&
      known.identity.kind === options.identity.kind &&
      !needsRenewal(known, options.nowMs)
    )
      return known;
  } catch (error) {
    if (!(error instanceof CollectiveError) || error.code !== "not_found") throw error;
  }
  return await options.enrol();
}

/** So that whoever starts a coordinator can use it at once: the person with the member's own name. */
async function writeAdministratorContext(
  options: { member: GlobalName; address: string; authorityDir: string },
  { home, clock, log }: Surroundings,
): Promise<void> {
  const { member, address, authorityDir } = options;
  const name = localNameOf(member);
  const contexts = openContexts(home);
  const credentialsDir = contexts.credentials(name).folder;
  const identity: Identity = { kind: "user", name: member };
  const enrol = () => enrolFromAuthorityDir({ authorityDir, credentialsDir, identity, validityMs: personValidityMs, clock });
  const authorityPem = await readFile(join(authorityDir, "ca.pem"), "utf8");
  const known = await ownCredentials(credentialsDir, { identity, enrol, nowMs: clock.wallMs() });
  // Left over from a collective of the same name that was thrown away.
  if (known.authorityPem !== authorityPem)
    await enrolFromAuthorityDir({ authorityDir, credentialsDir, identity, validityMs: personValidityMs, clock, newKey: true });
  await contexts.put(name, { member, coordinator: address, identity: member, created: new Date(clock.wallMs()).toISOString() });
  log.tagged("coordinator").debug("context written", { context: name, home });
}
