/** Attributes and further names: what is asked for by an inode. */
import type { Inode } from "../../protocol/ids.ts";
import type { inodeRoutes } from "../../protocol/inode-routes.ts";
import type { Caller, ControlHandlers } from "../net/control-app.ts";
import { type Clearance, createAccess } from "./access.ts";
import { readSettled } from "./leases.ts";
import { needToLink, needToMove } from "./linking.ts";
import type { CoordinatorService } from "./service.ts";
import { lookupVisible } from "./visible-names.ts";

export function createInodeHandlers(service: CoordinatorService): Pick<ControlHandlers, keyof typeof inodeRoutes> {
  const { metadata, leases } = service;
  const access = createAccess(service);
  const needToChange = (inode: Inode, caller: Caller) => needToChangeAndSee(service, access.of(caller), inode);
  return {
    getAttr: async ({ inode }, { caller, session }) => {
      await access.of(caller).needVisible(inode);
      await leases.settle([inode], session);
      return await metadata.getAttr(inode);
    },
    setAttr: async ({ inode, ...change }, { caller, session }) => {
      await needToChange(inode, caller);
      return await metadata.by(session).setAttr(inode, change);
    },
    lookup: async (entry, { caller, session }) => {
      const read = () => lookupVisible(metadata, access.of(caller), entry);
      return { attr: await readSettled(leases, session, { read, inodesOf: (attr) => (attr ? [attr.inode] : []) }) };
    },
    rightsOn: async ({ inode }, { caller }) => {
      const clearance = access.of(caller);
      await clearance.needVisible(inode);
      return { rights: [...(await clearance.rightsOn(inode)).keys()] };
    },
    makeNode: async (node, { caller, request }) => {
      await access.of(caller).need("write", node.parent);
      return await metadata.once(request).makeNode(node, { owner: caller.name });
    },
    link: async ({ inode, to }, { caller, request }) => {
      await needToLink(service, access.of(caller), { inode, directory: to.parent });
      return await metadata.once(request).link(inode, to);
    },
    exchange: async ({ one, other }, { caller, request }) => {
      const clearance = access.of(caller);
      await needToMove(service, clearance, { from: one, to: other });
      await needToMove(service, clearance, { from: other, to: one });
      await metadata.once(request).exchange(one, other);
      return {};
    },
    extendedAttributes: async ({ inode }, { caller }) => {
      await access.of(caller).need("read", inode);
      return { attributes: await metadata.extendedAttributes(inode) };
    },
    setExtendedAttribute: async ({ inode, attribute, existing }, { caller, request }) => {
      await needToChange(inode, caller);
      await metadata.once(request).setExtendedAttribute(inode, attribute, existing);
      return {};
    },
    removeExtendedAttribute: async ({ inode, name }, { caller, request }) => {
      await needToChange(inode, caller);
      await metadata.once(request).removeExtendedAttribute(inode, name);
      return {};
    },
  };
}

/** The answer shows it, and whoever may only write sees nothing there but what it made itself. */
export async function needToChangeAndSee({ metadata }: CoordinatorService, clearance: Clearance, inode: Inode): Promise<void> {
  await clearance.need("write", inode);
  if ((await metadata.getAttr(inode)).owner !== clearance.person) await clearance.needVisible(inode);
}
