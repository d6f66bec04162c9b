/** Names, directories and attributes. */
import type { ControlHandlers } from "../net/control-app.ts";
import { requirePerson } from "./access.ts";
import type { CoordinatorService } from "./service.ts";

type NamespaceRoutes =
  | "resolve"
  | "list"
  | "getAttr"
  | "makeDirectories"
  | "makeSymlinks"
  | "setAttr"
  | "remove"
  | "rename"
  | "clone"
  | "usage"
  | "layout";

export function createNamespaceHandlers({ metadata, member }: CoordinatorService): Pick<ControlHandlers, NamespaceRoutes> {
  return {
    resolve: async ({ components }, { caller }) => {
      requirePerson(caller, member);
      return await metadata.resolve(components);
    },
    list: async ({ inode, after, limit }, { caller }) => {
      requirePerson(caller, member);
      return await metadata.list(inode, { after, limit });
    },
    getAttr: async ({ inode }, { caller }) => {
      requirePerson(caller, member);
      return await metadata.getAttr(inode);
    },
    makeDirectories: async ({ directories, existing }, { caller, request }) => {
      requirePerson(caller, member);
      return {
        attrs: await metadata.once(request).makeDirectories(directories, { existing, owner: caller.name }),
      };
    },
    makeSymlinks: async ({ links }, { caller }) => {
      requirePerson(caller, member);
      return { attrs: await metadata.makeSymlinks(links, { owner: caller.name }) };
    },
    setAttr: async ({ inode, ...change }, { caller }) => {
      requirePerson(caller, member);
      return await metadata.setAttr(inode, change);
    },
    remove: async ({ parent, name, kind }, { caller, request }) => {
      requirePerson(caller, member);
      await metadata.once(request).remove({ parent, name }, kind, { by: caller.name });
      return {};
    },
    rename: async ({ from, to, replace }, { caller, request }) => {
      requirePerson(caller, member);
      await metadata.once(request).rename(from, to, { replace });
      return {};
    },
    clone: async ({ source, to, replace }, { caller, request }) => {
      requirePerson(caller, member);
      return await metadata.once(request).clone(source, to, { replace, owner: caller.name });
    },
    usage: async ({ inode }, { caller }) => {
      requirePerson(caller, member);
      return await metadata.usage(inode);
    },
    layout: async ({ inode, after, limit }, { caller }) => {
      requirePerson(caller, member);
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
