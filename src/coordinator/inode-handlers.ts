/** Attributes, further names and open files: what is asked for by an inode. */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import type { inodeRoutes } from "../../protocol/inode-routes.ts";
import type { Caller, ControlHandlers } from "../net/control-app.ts";
import { type Clearance, createAccess } from "./access.ts";
import { needToLink, needToMove } from "./linking.ts";
import type { CoordinatorService } from "./service.ts";
import { lookupVisible } from "./visible-names.ts";

export function createInodeHandlers(service: CoordinatorService): Pick<ControlHandlers, keyof typeof inodeRoutes> {
  const { metadata } = service;
  const access = createAccess(service);
  /** The answer shows it, and whoever may only write sees nothing there but what it made itself. */
  const needToChange = async (inode: Inode, caller: Caller): Promise<void> => {
    const clearance = access.of(caller);
    await clearance.need("write", inode);
    if ((await metadata.getAttr(inode)).owner !== caller.name) await clearance.needVisible(inode);
  };
  return {
    getAttr: async ({ inode }, { caller }) => {
      await access.of(caller).needVisible(inode);
      return await metadata.getAttr(inode);
    },
    setAttr: async ({ inode, ...change }, { caller }) => {
      await needToChange(inode, caller);
      return await metadata.setAttr(inode, change);
    },
    lookup: async (entry, { caller }) => ({ attr: await lookupVisible(metadata, access.of(caller), entry) }),
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
    hold: async ({ session, inodes }, { caller }) => {
      const clearance = access.of(caller);
      const usable = await Promise.all(inodes.map((inode) => mayUse(clearance, inode)));
      const held = await metadata.hold(
        { caller: caller.name, token: session },
        inodes.filter((_, index) => usable[index]),
      );
      return { gone: [...inodes.filter((_, index) => !usable[index]), ...held.gone] };
    },
    release: async ({ session, inodes }, { caller }) => {
      // What is released was held, so only who holds it gives it back.
      access.of(caller);
      await metadata.release({ caller: caller.name, token: session }, inodes);
      return {};
    },
  };
}

async function mayUse(clearance: Clearance, inode: Inode): Promise<boolean> {
  try {
    const held = await clearance.rightsOn(inode);
    return held.has("read") || held.has("write");
  } catch (error) {
    if (error instanceof CollectiveError && error.code === "not_found") return false;
    throw error;
  }
}
