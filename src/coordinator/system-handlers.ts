/** Stores, nodes and status. */
import { CollectiveError } from "../../protocol/errors.ts";
import { siteOf } from "../../protocol/ids.ts";
import type { Elsewhere, ListedStore, Store } from "../../protocol/schema.ts";
import type { ControlHandlers } from "../net/control-app.ts";
import { type Clearance, createAccess, requireAdministrator, requirePersonOfSite } from "./access.ts";
import { requireNode } from "./directory.ts";
import { observeHealth } from "./health.ts";
import { nodeTrustSince } from "./node-trust.ts";
import type { CoordinatorService } from "./service.ts";
import { withdrawalsSince } from "./withdrawals.ts";

type SystemRoutes = "createStore" | "listStores" | "setStore" | "removeStore" | "storeKey" | "heartbeat" | "status";

export function createSystemHandlers(service: CoordinatorService): Pick<ControlHandlers, SystemRoutes> {
  const { metadata, member, directory } = service;
  const access = createAccess(service);
  return {
    createStore: async ({ name, policy }, { caller, request }) => {
      requireAdministrator(caller, member);
      return await metadata.once(request).createStore({ name, policy, owner: caller.name });
    },
    listStores: async (_, { caller }) => {
      const clearance = access.of(caller);
      const stores = await metadata.listStores(service.allNodes.dead());
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
    removeStore: async ({ name, dryRun }, { caller, request }) => {
      requireAdministrator(caller, member);
      if (dryRun) return await metadata.usage((await metadata.storeByName(name)).inode);
      return await metadata.once(request).removeStore(name, { by: caller.name });
    },
    storeKey: async ({ store }, { caller }) => {
      await access.of(caller).needSomewhere(["read", "write"], store);
      return await metadata.storeKey(store);
    },
    heartbeat: async ({ withdrawals: revision, trust: trustRevision, roundTripMs, ...heartbeat }, { caller }) => {
      requireNode(caller, siteOf(member));
      await directory.record(caller, heartbeat, roundTripMs);
      const withdrawals = await withdrawalsSince(service, revision);
      return {
        nowMs: service.clock.wallMs(),
        coordinatorCertificatePem: service.credentials().certificatePem,
        withdrawals,
        trust: nodeTrustSince(service, trustRevision),
      };
    },
    status: async (_, { caller }) => {
      requirePersonOfSite(caller, member);
      return await status(service);
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

async function status(service: CoordinatorService) {
  const { nodes, totals, ...health } = await observeHealth(service);
  return {
    member: service.member,
    address: service.address,
    version: service.version,
    uptimeMs: service.clock.monotonicMs() - service.startedMonotonicMs,
    ...health,
    nodes,
    totals,
    elsewhere: await elsewhere(service),
  };
}

/** What other members lend, as placement sees it. */
async function elsewhere({ hosting, metadata }: CoordinatorService): Promise<Elsewhere> {
  const view = await hosting.view();
  return { nodes: view.nodes(await metadata.usedAtHosts()), limits: await hosting.limits() };
}
