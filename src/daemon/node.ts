/**
 * A storage node, put together. Data directory: `chunks.db`, `chunks/`, `quarantine/` (see
 * src/chunk/disk.ts) and `credentials/`.
 */
import { mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, globalName, type Identity, siteOf } from "../../protocol/ids.ts";
import { clockSkewMsMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { createDiskChunkStore } from "../chunk/disk.ts";
import type { NodeConfig } from "../core/config.ts";
import { version } from "../core/version.ts";
import { createControlClient } from "../net/control-client.ts";
import { type DataServer, startDataServer } from "../net/data-server.ts";
import { createNodeApp } from "../node/app.ts";
import { startRegistration } from "../node/registration.ts";
import { createWithdrawals } from "../node/withdrawals.ts";
import { createCsr } from "../pki/authority.ts";
import { type Credentials, enrolFromAuthorityDir, loadCredentials, saveCredentials, watchCredentials } from "../pki/credentials.ts";
import { createRenewal } from "../pki/renewal.ts";
import { createSigner, createTicketVerifier } from "../pki/ticket.ts";
import { authorityDirOf } from "./authority.ts";
import { usableCredentials } from "./renewal.ts";
import { advertisedAddress, type RunningRole, type Surroundings } from "./role.ts";

const credentialPollMs = 1_000;
/** Heartbeats wait for it. */
const renewalTimeoutMs = 10_000;
const ticketsRememberedMax = 256;
/** A node serves what it holds even while its coordinator is away; so it does not wait longer to say that it is ready. */
const registrationGraceMs = 2_000;

export interface NodeSettings {
  readonly member: GlobalName;
  readonly config: NodeConfig;
  readonly certDir?: string | undefined;
  readonly certValidityMs: number;
}

export async function startNode({ member, config, certDir, certValidityMs }: NodeSettings, around: Surroundings): Promise<RunningRole> {
  const { clock, random } = around;
  const name = globalName(config.nodeId, siteOf(member));
  const log = around.log.tagged(config.nodeId);
  const coordinatorAddress = config.coordinatorAddress;
  if (coordinatorAddress === undefined) {
    throw new CollectiveError("configuration", "the node does not know its coordinator", { hint: "name it with --coordinator HOST:PORT" });
  }
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const credentialsDir = certDir ?? join(config.dataDir, "credentials");
  let credentials = await nodeCredentials({ config, credentialsDir, identity: { kind: "node", name }, certValidityMs }, around);
  let signer = createSigner(credentials.privateKeyPem);
  let server: DataServer | undefined;
  const stopping = new AbortController();
  const use = (fresh: Credentials): void => {
    if (fresh.revision === credentials.revision) return;
    credentials = fresh;
    signer = createSigner(fresh.privateKeyPem);
    server?.reload(fresh);
  };
  const coordinator = createControlClient({
    address: coordinatorAddress,
    server: { kind: "coordinator", name: member },
    credentials: () => credentials,
    beforeCall: () => renewIfDue(),
    clock,
    random,
  });
  const renewIfDue = createRenewal({
    credentials: () => credentials,
    renew: async () => {
      const { privateKeyPem } = credentials;
      const csrPem = await createCsr({ privateKeyPem, commonName: name });
      const issued = await coordinator.call(routes.renewCertificate, { csrPem }, { timeoutMs: renewalTimeoutMs, signal: stopping.signal });
      use(await saveCredentials(credentialsDir, { ...issued, privateKeyPem }));
    },
    clock,
    random,
    log,
    failureLevel: "warn",
  });
  // After a long sleep: with an expired certificate nobody would speak to it. A failure was logged, and heartbeats try on.
  await renewIfDue().catch(() => undefined);
  let coordinatorKey: { readonly pem: string; readonly raw: Uint8Array } | undefined;

  const store = await createDiskChunkStore({
    dir: config.dataDir,
    capacityBytes: config.capacityBytes ?? (await diskBytes(config.dataDir)),
    log: log.tagged("chunks"),
    clock,
  });
  try {
    const withdrawals = createWithdrawals();
    const tickets = createTicketVerifier({
      audience: name,
      coordinatorKeyFor: (site) => (site === siteOf(name) ? coordinatorKey?.raw : undefined),
      isWithdrawn: withdrawals.isWithdrawn,
      clock,
      cacheEntriesMax: ticketsRememberedMax,
    });
    const app = createNodeApp({ name, store, tickets, signer: () => signer, clock, log });
    const serving = await startDataServer({ ...config.address, credentials, clock, fetch: (request) => app.fetch(request) });
    server = serving;
    const address = advertisedAddress({ advertise: config.advertise, listen: config.address, port: serving.port });
    const registration = startRegistration({
      coordinator,
      describe: () => {
        const { usedBytes, capacityBytes, freeBytes, chunkCount } = store.usage();
        return { address, capacityBytes, usedBytes, freeBytes, chunkCount, version };
      },
      withdrawals,
      onCoordinator: (pem) => {
        if (coordinatorKey?.pem === pem) return;
        const identity = credentials.trust.identify({ pem }, clock.wallMs(), clockSkewMsMax);
        if (identity.kind === "coordinator" && siteOf(identity.name) === siteOf(name)) coordinatorKey = { pem, raw: identity.publicKeyRaw };
      },
      clock,
      random,
      log,
    });
    const watch = watchCredentials(credentialsDir, { clock, intervalMs: credentialPollMs, log, revision: credentials.revision }, use);
    await Promise.race([registration.registered, clock.sleep(registrationGraceMs)]);
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      stopping.abort();
      watch[Symbol.dispose]();
      await Promise.all([registration.stop(), serving.stop()]);
      await store.close();
    };
    return {
      name,
      address,
      stop: () => {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Without a limit of its own a node may fill the disk; how much of that is really free is looked at all the time. */
async function diskBytes(dir: string): Promise<number> {
  const { blocks, bsize } = await statfs(dir);
  return blocks * bsize;
}

interface NodeEnrolment {
  readonly config: NodeConfig;
  readonly credentialsDir: string;
  readonly identity: Identity;
  readonly certValidityMs: number;
}

async function nodeCredentials(
  { config, credentialsDir, identity, certValidityMs }: NodeEnrolment,
  { clock }: Surroundings,
): Promise<Credentials> {
  const { enrolFrom } = config;
  if (enrolFrom !== undefined) {
    const authorityDir = authorityDirOf(enrolFrom);
    const known = await usableCredentials(credentialsDir, identity, clock.wallMs());
    return known ?? (await enrolFromAuthorityDir({ authorityDir, credentialsDir, identity, validityMs: certValidityMs, clock }));
  }
  if (config.join !== undefined)
    throw new CollectiveError("unsupported", "joining with a code is not possible yet", {
      hint: "use --enrol-from DIR, or put credentials made by auth cert into the data directory",
    });
  const known = await loadCredentials(credentialsDir).catch((error: unknown) => {
    if (!(error instanceof CollectiveError) || error.code !== "not_found") throw error;
    throw new CollectiveError("configuration", `the node ${identity.name} has no certificate in ${credentialsDir}`, {
      hint: "start it once with --enrol-from DIR, the coordinator's data directory",
    });
  });
  if (known.identity.name !== identity.name || known.identity.kind !== identity.kind) {
    throw new CollectiveError(
      "configuration",
      `${credentialsDir} holds the certificate of the ${known.identity.kind} ${known.identity.name}, not of the node ${identity.name}`,
    );
  }
  return known;
}
