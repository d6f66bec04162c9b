/**
 * What the person who mounted it was granted, which is no mode bit that the kernel could check. Where nothing may be changed, a change is
 * refused as on any read-only file system, and already when a file is opened for it; where just this change may not be made, permission is denied.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Right } from "../../protocol/rights.ts";
import { routes } from "../../protocol/routes.ts";
import type { Clock } from "../core/clock.ts";
import { untoldMs } from "./beliefs.ts";
import type { Answer, Call, FileSystem, Place } from "./file-system.ts";
import type { Node, Nodes } from "./nodes.ts";

export interface GrantsOptions {
  readonly nodes: Nodes;
  readonly clock: Clock;
}

interface Known {
  readonly askedMs: number;
  readonly rights: readonly Right[];
}

export function obeyGrants<T extends FileSystem>(system: T, { nodes, clock }: GrantsOptions): T {
  const known = new WeakMap<Node, Known>();
  const rightsOn = async (node: Node, signal: AbortSignal): Promise<readonly Right[]> => {
    const last = known.get(node);
    const askedMs = clock.monotonicMs();
    if (last && askedMs - last.askedMs < untoldMs) return last.rights;
    const { rights } = await node.realm.remote.control.call(routes.rightsOn, { inode: node.inode }, { signal });
    known.set(node, { askedMs, rights });
    return rights;
  };
  /** A file has the rights of its directory, and where it has several names those of all, so it is asked about itself only if need be. */
  const isReadOnly = async (node: Node, signal: AbortSignal): Promise<boolean> => {
    const directory = node.attr.type === "directory" ? undefined : nodes.known(node.place?.parent ?? node.number);
    try {
      if (directory && (await rightsOn(directory, signal)).includes("write")) return false;
      const rights = await rightsOn(node, signal);
      return !rights.includes("write") && !rights.includes("delete");
    } catch {
      // What is asked for meets the same, and says so.
      return false;
    }
  };
  const changing =
    <At extends number | Place, Rest extends readonly unknown[], Result>(run: (call: Call, at: At, ...rest: Rest) => Answer<Result>) =>
    async (call: Call, at: At, ...rest: Rest): Promise<Result> => {
      try {
        return await run(call, at, ...rest);
      } catch (thrown) {
        const error = toCollectiveError(thrown);
        const node = nodes.get(typeof at === "number" ? at : at.parent);
        if (error.code === "permission_denied" && (await isReadOnly(node, call.signal))) throw readOnly(error);
        throw error;
      }
    };
  return {
    ...system,
    setAttributes: changing(system.setAttributes),
    makeDirectory: changing(system.makeDirectory),
    makeNode: changing(system.makeNode),
    makeSymlink: changing(system.makeSymlink),
    link: changing(system.link),
    unlink: changing(system.unlink),
    removeDirectory: changing(system.removeDirectory),
    rename: changing(system.rename),
    create: changing(system.create),
    open: async (call, inode, options) => {
      const node = nodes.get(inode);
      const isChange = options.access !== "read" || options.truncate;
      if (isChange && !node.isRemoved && (await isReadOnly(node, call.signal))) throw readOnly();
      return await system.open(call, inode, options);
    },
    setExtendedAttribute: changing(system.setExtendedAttribute),
    removeExtendedAttribute: changing(system.removeExtendedAttribute),
  };
}

function readOnly(cause?: CollectiveError): CollectiveError {
  return new CollectiveError("read_only", cause?.message ?? "nothing here may be changed by who mounted it", {
    hint: cause?.hint ?? "its owner can grant write",
    cause,
  });
}
