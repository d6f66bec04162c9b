/** Names, directories and attributes. */
import type { Inode } from "../../protocol/ids.ts";
import type { ControlHandlers } from "../net/control-app.ts";
import { type Clearance, createAccess } from "./access.ts";
import { readSettled } from "./leases.ts";
import { needToMove } from "./linking.ts";
import type { CoordinatorService } from "./service.ts";
import { listVisible, resolveVisible } from "./visible-names.ts";

type NamespaceRoutes = "resolve" | "list" | "makeDirectories" | "makeSymlinks" | "remove" | "rename" | "clone" | "usage" | "layout";

export function createNamespaceHandlers(service: CoordinatorService): Pick<ControlHandlers, NamespaceRoutes> {
  const { metadata, leases } = service;
  const access = createAccess(service);
  return {
    resolve: async ({ components }, { caller, session }) => {
      const read = () => resolveVisible(metadata, access.of(caller), components);
      return await readSettled(leases, session, { read, inodesOf: ({ attr }) => (attr ? [attr.inode] : []) });
    },
    list: async ({ inode, after, limit }, { caller, session }) => {
      const read = () => listVisible(metadata, access.of(caller), { inode, after, limit });
      return await readSettled(leases, session, { read, inodesOf: ({ entries }) => entries.map(({ attr }) => attr.inode) });
    },
    makeDirectories: async ({ directories, existing }, { caller, request }) => {
      await needWriteIn(access.of(caller), directories);
      return { attrs: await metadata.once(request).makeDirectories(directories, { existing, owner: caller.name }) };
    },
    makeSymlinks: async ({ links, existing }, { caller, request }) => {
      await needWriteIn(access.of(caller), links);
      return { attrs: await metadata.once(request).makeSymlinks(links, { existing, owner: caller.name }) };
    },
    remove: async ({ parent, name, kind }, { caller, request }) => {
      await access.of(caller).need("delete", parent);
      return { changedNs: await metadata.once(request).remove({ parent, name }, kind, { by: caller.name }) };
    },
    rename: async ({ from, to, replace }, { caller, request }) => {
      await needToMove(service, access.of(caller), { from, to });
      await metadata.once(request).rename(from, to, { replace });
      return {};
    },
    clone: async ({ source, to, replace }, { caller, request }) => {
      const clearance = access.of(caller);
      await clearance.need("read", source);
      await clearance.need("write", to.parent);
      await leases.settle([source], request.session);
      return await metadata.once(request).clone(source, to, { replace, owner: caller.name });
    },
    usage: async ({ inode }, { caller }) => {
      await access.of(caller).need("read", inode);
      return await metadata.usage(inode);
    },
    layout: async ({ inode, after, limit }, { caller }) => {
      await access.of(caller).need("read", inode);
      // One more than the page shows whether there is another; and the first may reach in from the page before.
      const extents = await metadata.extents(inode, { offset: after + 1, lengthBytes: Number.MAX_SAFE_INTEGER, limit: limit + 2 });
      const page = extents.filter((extent) => extent.offset > after);
      return {
        chunks: page.slice(0, limit).map(({ chunk, copies, ...rest }) => ({ id: chunk, copies: [...copies], ...rest })),
        more: page.length > limit,
      };
    },
  };
}

/** What is made or changed in directories needs `write` in each of them; a file that stands there already may be replaced with it. */
export async function needWriteIn(clearance: Clearance, entries: readonly { readonly parent: Inode }[]): Promise<void> {
  for (const parent of new Set(entries.map((entry) => entry.parent))) await clearance.need("write", parent);
}
