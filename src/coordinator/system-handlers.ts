/** Stores, nodes, status and certificates. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, globalName, type Identity, parseLocalName, type Site, siteOf } from "../../protocol/ids.ts";
import type { ControlHandlers } from "../net/control-app.ts";
import { leafValidityMsMax } from "../pki/authority.ts";
import { requestedKeyOf } from "../pki/certificate-request.ts";
import { requireAdministrator, requirePerson } from "./access.ts";
import { requireNode } from "./directory.ts";
import { deadNodes, observeHealth } from "./health.ts";
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
      return await metadata.once(request).removeStore(name);
    },
    storeKey: async ({ store }, { caller }) => {
      requirePerson(caller, member);
      return await metadata.storeKey(store);
    },
    heartbeat: async (heartbeat, { caller }) => {
      requireNode(caller, siteOf(member));
      await directory.record(caller, heartbeat);
      return { nowMs: service.clock.wallMs(), coordinatorCertificatePem: service.credentials().certificatePem };
    },
    status: async (_, { caller }) => {
      requirePerson(caller, member);
      return await status(service);
    },
    renewCertificate: async ({ csrPem }, { caller }) => {
      if (siteOf(caller.name) !== siteOf(member))
        throw new CollectiveError("permission_denied", `${caller.name} gets its certificates from ${siteOf(caller.name)}`);
      return await issueCertificate(service, { csrPem, identity: caller });
    },
    issueCertificate: async ({ csrPem, kind, name, validityMs }, { caller }) => {
      requireAdministrator(caller, member);
      const identity = { kind, name: nameInSite(name, siteOf(member)) };
      const issued = await issueCertificate(service, { csrPem, identity, validityMs });
      // So that nobody takes the name with an invite that is for whoever holds it.
      if (kind !== "coordinator") await metadata.enrol({ kind, name: identity.name, publicKeyRaw: requestedKeyOf(csrPem) }, caller.name);
      return issued;
    },
  };
}

/** People come back after weeks, so their certificates outlive those of processes that renew theirs every day. */
export const personValidityMs = 90 * 86_400_000;

export async function issueCertificate(
  service: CoordinatorService,
  request: { csrPem: string; identity: Identity; validityMs?: number | undefined },
): Promise<{ certificatePem: string; authorityPem: string }> {
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
