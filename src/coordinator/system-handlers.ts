/** Stores, nodes and status. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, rootInode, siteOf } from "../../protocol/ids.ts";
import type { NodeSummary } from "../../protocol/schema.ts";
import type { ChunkTotals } from "../meta/store.ts";
import type { ControlHandlers } from "../net/control-app.ts";
import { requirePerson } from "./access.ts";
import { type NodeDirectory, requireNode } from "./directory.ts";
import type { CoordinatorService } from "./service.ts";
import { withdrawalsSince } from "./withdrawals.ts";

type SystemRoutes = "createStore" | "listStores" | "setStore" | "removeStore" | "storeKey" | "heartbeat" | "status";

export function createSystemHandlers(service: CoordinatorService): Pick<ControlHandlers, SystemRoutes> {
  const { metadata, member, directory } = service;
  return {
    createStore: async (request, { caller }) => {
      requirePerson(caller, member);
      return await metadata.createStore({ ...request, owner: caller.name });
    },
    listStores: async (_, { caller }) => {
      requirePerson(caller, member);
      return { stores: await metadata.listStores(deadNodes(directory)) };
    },
    setStore: async ({ name, policy }, { caller }) => {
      requirePerson(caller, member);
      if (policy.encrypt !== undefined && policy.encrypt !== (await metadata.storeByName(name)).policy.encrypt) {
        throw new CollectiveError("unsupported", `whether ${name} is encrypted was decided when it was made`, {
          hint: "make another datastore and copy the files into it",
        });
      }
      const given = Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined));
      return await metadata.setStore(name, given);
    },
    removeStore: async ({ name, dryRun }, { caller }) => {
      requirePerson(caller, member);
      const { inode } = await metadata.storeByName(name);
      const usage = await metadata.usage(inode);
      if (!dryRun) await metadata.remove({ parent: rootInode, name }, "tree", { by: caller.name });
      return usage;
    },
    storeKey: async ({ store }, { caller }) => {
      requirePerson(caller, member);
      return await metadata.storeKey(store);
    },
    heartbeat: async ({ withdrawals: revision, ...heartbeat }, { caller }) => {
      requireNode(caller, siteOf(member));
      await directory.record(caller, heartbeat);
      const withdrawals = await withdrawalsSince(metadata, revision);
      const { certificatePem } = service.credentials();
      return { nowMs: service.clock.wallMs(), coordinatorCertificatePem: certificatePem, withdrawals };
    },
    status: async (_, { caller }) => {
      requirePerson(caller, member);
      return await status(service);
    },
  };
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
