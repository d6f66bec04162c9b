/** Stores, nodes and status. */
import { CollectiveError } from "../../protocol/errors.ts";
import { siteOf } from "../../protocol/ids.ts";
import type { ControlHandlers } from "../net/control-app.ts";
import { requirePerson } from "./access.ts";
import { requireNode } from "./directory.ts";
import { deadNodes, observeHealth } from "./health.ts";
import type { CoordinatorService } from "./service.ts";
import { withdrawalsSince } from "./withdrawals.ts";

type SystemRoutes = "createStore" | "listStores" | "setStore" | "removeStore" | "storeKey" | "heartbeat" | "status";

export function createSystemHandlers(service: CoordinatorService): Pick<ControlHandlers, SystemRoutes> {
  const { metadata, member, directory } = service;
  return {
    createStore: async ({ name, policy }, { caller, request }) => {
      requirePerson(caller, member);
      return await metadata.once(request).createStore({ name, policy, owner: caller.name });
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
    removeStore: async ({ name, dryRun }, { caller, request }) => {
      requirePerson(caller, member);
      if (dryRun) return await metadata.usage((await metadata.storeByName(name)).inode);
      return await metadata.once(request).removeStore(name, { by: caller.name });
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
  };
}
