/**
 * A storage node, put together. Data directory: `chunks.db`, `chunks/`, `quarantine/` (see
 * src/chunk/disk.ts), `guests/` (src/chunk/disk-stores.ts), `credentials/`, and `joined.json` when it
 * joined with a code.
 */
import { mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { clockSkewMsMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { openDiskChunkStores } from "../chunk/disk-stores.ts";
import type { NodeConfig } from "../core/config.ts";
import { version } from "../core/version.ts";
import { createControlClient } from "../net/control-client.ts";
import { createDataClient } from "../net/data-client.ts";
import { type DataServer, startDataServer } from "../net/data-server.ts";
import { createNodeApp } from "../node/app.ts";
import { nodeHealth, registerNodeMetrics } from "../node/metrics.ts";
import { startRegistration } from "../node/registration.ts";
import { createCoordinatorTrust } from "../node/trust.ts";
import { createWithdrawals } from "../node/withdrawals.ts";
import { createCsr } from "../pki/authority.ts";
import { type Credentials, saveCredentials, watchCredentials } from "../pki/credentials.ts";
import { createRenewal } from "../pki/renewal.ts";
import { createSigner, createTicketVerifier } from "../pki/ticket.ts";
import { enrolNode } from "./node-enrolment.ts";
import { advertisedAddress, type RunningRole, type Surroundings } from "./role.ts";

const credentialPollMs = 1_000;
/** Heartbeats wait for it. */
const renewalTimeoutMs = 10_000;
const ticketsRememberedMax = 256;
/** A node serves what it holds even while its coordinator is away; so it does not wait longer to say that it is ready. */
const registrationGraceMs = 2_000;
/** Heartbeats and renewals come again by themselves. */
const retryPolicy = { attemptsMax: 1, firstDelayMs: 0, delayMsMax: 0 };

export interface NodeSettings {
  /** Undefined when the node has it from its invite. */
  readonly member: GlobalName | undefined;
  readonly config: NodeConfig;
  readonly certDir?: string | undefined;
  readonly certValidityMs: number;
}

export async function startNode(settings: NodeSettings, around: Surroundings): Promise<RunningRole> {
  const { config, certDir, certValidityMs } = settings;
  const { clock, random } = around;
  const log = around.log.tagged(config.nodeId);
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const credentialsDir = certDir ?? join(config.dataDir, "credentials");
  const enrolled = await enrolNode({ member: settings.member, config, credentialsDir, certValidityMs }, { ...around, log });
  const { name, member, coordinatorAddress } = enrolled;
  let { credentials } = enrolled;
  let signer = createSigner(credentials.privateKeyPem);
  let server: DataServer | undefined;
  const stopping = new AbortController();
  const trust = createCoordinatorTrust({ log, onChange: () => use(own) });
  /** As they are on disk; what is used trusts whom the coordinator trusts, too. */
  let own = credentials;
  const use = (saved: Credentials): void => {
    own = saved;
    const fresh = trust.addTo(own);
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
    retryPolicy,
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

  const stores = await openDiskChunkStores({
    dir: config.dataDir,
    site: siteOf(name),
    capacityBytes: config.capacityBytes ?? (await diskBytes(config.dataDir)),
    log: log.tagged("chunks"),
    clock,
  });
  try {
    const withdrawals = createWithdrawals();
    const tickets = createTicketVerifier({
      audience: name,
      coordinatorKeyFor: (site) => (site === siteOf(name) ? coordinatorKey?.raw : trust.keyOf(site)),
      isWithdrawn: withdrawals.isWithdrawn,
      clock,
      cacheEntriesMax: ticketsRememberedMax,
    });
    const sources = createDataClient(() => credentials);
    const app = createNodeApp({ name, stores, tickets, sources, signer: () => signer, clock, log });
    const serving = await startDataServer({ ...config.address, credentials, clock, fetch: (request) => app.fetch(request) });
    server = serving;
    const address = advertisedAddress({ advertise: config.advertise, listen: config.address, port: serving.port });
    const registration = startRegistration({
      coordinator,
      describe: () => {
        const { usedBytes, capacityBytes, freeBytes, chunkCount } = stores.usage();
        return { address, capacityBytes, usedBytes, freeBytes, chunkCount, version, guests: stores.guests() };
      },
      withdrawals,
      trust,
      onCoordinator: (pem) => {
        if (coordinatorKey?.pem === pem) return;
        const identity = credentials.trust.identify({ pem }, clock.wallMs(), clockSkewMsMax);
        if (identity.kind === "coordinator" && siteOf(identity.name) === siteOf(name)) coordinatorKey = { pem, raw: identity.publicKeyRaw };
      },
      clock,
      random,
      log,
    });
    const watch = watchCredentials(credentialsDir, { clock, intervalMs: credentialPollMs, log, revision: own.revision }, use);
    const observed = { member, stores, isRegistered: () => registration.isConnected() };
    registerNodeMetrics(around.metrics, { ...observed, credentials: () => credentials, clock });
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      stopping.abort();
      watch[Symbol.dispose]();
      await Promise.all([registration.stop(), serving.stop()]);
      await stores.close();
    };
    try {
      await Promise.race([registration.registered, clock.sleep(registrationGraceMs)]);
    } catch (error) {
      await stop();
      throw error;
    }
    return {
      name,
      address,
      health: async () => nodeHealth(observed),
      stop: () => {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (error) {
    await stores.close();
    throw error;
  }
}

/** Without a limit of its own a node may fill the disk; how much of that is really free is looked at all the time. */
async function diskBytes(dir: string): Promise<number> {
  const { blocks, bsize } = await statfs(dir);
  return blocks * bsize;
}
