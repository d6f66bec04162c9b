/** Stores, nodes, status and certificates. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, globalName, type Identity, parseLocalName, rootInode, type Site, siteOf } from "../../protocol/ids.ts";
import type { ListedStore, NodeSummary, Store } from "../../protocol/schema.ts";
import type { ChunkTotals } from "../meta/store.ts";
import type { ControlHandlers } from "../net/control-app.ts";
import { leafValidityMsMax } from "../pki/authority.ts";
import { type Clearance, createAccess, requireAdministrator, requirePersonOfSite } from "./access.ts";
import { type NodeDirectory, requireNode } from "./directory.ts";
import type { CoordinatorService } from "./service.ts";

type SystemRoutes =
  | "createStore"
  | "listStores"
  | "setStore"
  | "removeStore"
  | "storeKey"
  | "heartbeat"
  | "status"
  | "renewCertificate"
  | "issueCertificate";

export function createSystemHandlers(service: CoordinatorService): Pick<ControlHandlers, SystemRoutes> {
  const { metadata, member, directory } = service;
  const access = createAccess(service);
  return {
    createStore: async (request, { caller }) => {
      requireAdministrator(caller, member);
      return await metadata.createStore({ ...request, owner: caller.name });
    },
    listStores: async (_, { caller }) => {
      const clearance = access.of(caller);
      const stores = await metadata.listStores(deadNodes(directory));
      return { stores: clearance.isAdministrator ? stores : await visibleStores(clearance, stores) };
    },
    setStore: async ({ name, policy }, { caller }) => {
      requireAdministrator(caller, member);
      if (policy.encrypt !== undefined && policy.encrypt !== (await metadata.storeByName(name)).policy.encrypt) {
        throw new CollectiveError("unsupported", `whether ${name} is encrypted was decided when it was made`, {
          hint: "make another datastore and copy the files into it",
        });
      }
      const given = Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined));
      return await metadata.setStore(name, given);
    },
    removeStore: async ({ name, dryRun }, { caller }) => {
      requireAdministrator(caller, member);
      const { inode } = await metadata.storeByName(name);
      const usage = await metadata.usage(inode);
      if (!dryRun) await metadata.remove({ parent: rootInode, name }, "tree");
      return usage;
    },
    storeKey: async ({ store }, { caller }) => {
      await access.of(caller).needSomewhere(["read", "write"], store);
      return await metadata.storeKey(store);
    },
    heartbeat: async (heartbeat, { caller }) => {
      requireNode(caller, siteOf(member));
      await directory.record(caller, heartbeat);
      return { nowMs: service.clock.wallMs(), coordinatorCertificatePem: service.credentials().certificatePem };
    },
    status: async (_, { caller }) => {
      requirePersonOfSite(caller, member);
      return await status(service);
    },
    renewCertificate: async ({ csrPem }, { caller }) => {
      if (siteOf(caller.name) !== siteOf(member))
        throw new CollectiveError("permission_denied", `${caller.name} gets its certificates from ${siteOf(caller.name)}`);
      return await issue(service, { csrPem, identity: caller });
    },
    issueCertificate: async ({ csrPem, kind, name, validityMs }, { caller }) => {
      requireAdministrator(caller, member);
      const identity = { kind, name: nameInSite(name, siteOf(member)) };
      return await issue(service, { csrPem, identity, validityMs });
    },
  };
}

/** Those in which something is visible; what a store holds in all is for those who may read all of it. */
async function visibleStores(clearance: Clearance, stores: readonly Store[]): Promise<ListedStore[]> {
  const ways = await clearance.ways();
  const uncounted = { files: null, logicalBytes: null, chunks: null, storedBytes: null, degradedChunks: null };
  const visible = stores.filter((store) => ways.has(store.inode));
  return await Promise.all(
    visible.map(async (store) => ((await clearance.rightsOn(store.inode)).has("read") ? store : { ...store, ...uncounted })),
  );
}

/** People come back after weeks, so their certificates outlive those of processes that renew theirs every day. */
export const personValidityMs = 90 * 86_400_000;

async function issue(service: CoordinatorService, request: { csrPem: string; identity: Identity; validityMs?: number | undefined }) {
  const { csrPem, identity } = request;
  const validityMs = request.validityMs ?? (identity.kind === "user" ? personValidityMs : service.certValidityMs);
  if (validityMs > leafValidityMsMax) throw new CollectiveError("invalid_argument", "a certificate lives at most 397 days");
  const certificatePem = await service.certificates.issue({ csrPem, identity: { kind: identity.kind, name: identity.name }, validityMs });
  service.log.info("certificate issued", { kind: identity.kind, name: identity.name, validityMs });
  return { certificatePem, authorityPem: service.certificates.authorityPem };
}

/** `dora` or `dora@home.collective.local`, and no other site: an authority speaks for its own alone. */
export function nameInSite(text: string, site: Site): GlobalName {
  const [local, given] = text.split("@", 2);
  if (given !== undefined && given !== site)
    throw new CollectiveError("permission_denied", `the authority of ${site} cannot speak for ${given}`);
  return globalName(parseLocalName(local ?? ""), site);
}

/** Whose copies do not count. */
function deadNodes(directory: NodeDirectory): GlobalName[] {
  return directory
    .list()
    .filter((node) => node.state === "dead")
    .map((node) => node.name);
}

async function status(service: CoordinatorService) {
  const nodes = service.directory.list();
  const totals = await service.metadata.totals(deadNodes(service.directory));
  return {
    member: service.member,
    address: service.address,
    version: service.version,
    uptimeMs: service.clock.monotonicMs() - service.startedMonotonicMs,
    ...judgeHealth(nodes, totals),
    nodes,
    totals: { ...totals },
  };
}

/** By what a user can still do: unhealthy when something cannot be read or written, degraded when one more loss could make it so. */
export function judgeHealth(
  nodes: readonly Pick<NodeSummary, "name" | "state">[],
  totals: ChunkTotals,
): { health: "healthy" | "degraded" | "unhealthy"; healthScore: number; reasons: string[] } {
  const down = nodes.filter((node) => node.state !== "alive");
  const unhealthy: string[] = [];
  const degraded: string[] = [];
  if (nodes.length > 0 && down.length === nodes.length) unhealthy.push("no node is alive: nothing can be read or written");
  else if (down.length > 0) degraded.push(`${down.map((node) => `${node.name} is ${node.state}`).join(", ")}`);
  if (nodes.length === 0) degraded.push("no node has joined yet: nothing can be stored");
  const chunks = (count: number): string => (count === 1 ? "1 chunk has" : `${count} chunks have`);
  if (totals.lostChunks > 0) unhealthy.push(`${chunks(totals.lostChunks)} no readable copy`);
  if (totals.degradedChunks > totals.lostChunks)
    degraded.push(`${chunks(totals.degradedChunks - totals.lostChunks)} fewer copies than their store asks for`);
  const score = unhealthy.length > 0 ? 20 : Math.max(40, 100 - 20 * degraded.length);
  return {
    health: unhealthy.length > 0 ? "unhealthy" : degraded.length > 0 ? "degraded" : "healthy",
    healthScore: score,
    reasons: [...unhealthy, ...degraded],
  };
}
