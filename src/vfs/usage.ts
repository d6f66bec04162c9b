/** How much there is and how much more fits, as `statfs` asks: of the datastore that was asked about, of all nodes for the root. */
import { type GlobalName, rootInode as memberRoot } from "../../protocol/ids.ts";
import { kibibyte, nameBytesMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { nodesShown, usableShown } from "../client/nodes-shown.ts";
import type { Clock } from "../core/clock.ts";
import type { FileSystemUsage } from "./file-system.ts";
import type { Node } from "./nodes.ts";

export interface UsageOptions {
  /** Undefined when another member's files are shown. */
  readonly own: GlobalName | undefined;
  readonly clock: Clock;
}

/** Programs ask before each file they write. */
const rememberedMs = 2_000;
const blockBytes = 4 * kibibyte;
/** There is no limit to say. */
const inodes = 2 ** 32;

interface Amounts {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

export function createUsage({ own, clock }: UsageOptions): (node: Node, signal: AbortSignal) => Promise<FileSystemUsage> {
  const known = new Map<string, { readonly askedMs: number; readonly amounts: Amounts }>();
  return async (node, signal) => {
    const key = `${node.realm.base}/${node.attr.store ?? memberRoot}`;
    const last = known.get(key);
    const isFresh = last && clock.monotonicMs() - last.askedMs < rememberedMs;
    const amounts = isFresh ? last.amounts : await amountsOf(node, own, signal);
    if (!isFresh) known.set(key, { askedMs: clock.monotonicMs(), amounts });
    const { totalBytes, freeBytes } = amounts;
    return { blockBytes, totalBytes, freeBytes, availableBytes: freeBytes, inodes, freeInodes: inodes, nameBytesMax };
  };
}

/** Nothing is known of another member's nodes: then all is 0, which programs take for "not to be asked". */
async function amountsOf({ realm, attr }: Node, own: GlobalName | undefined, signal: AbortSignal): Promise<Amounts> {
  const shown = await nodesShown(realm.remote, signal);
  if (shown === undefined || own === undefined) return { totalBytes: 0, freeBytes: 0 };
  const { stores } = await realm.remote.control.call(routes.listStores, {}, { signal });
  const store = stores.find(({ inode }) => inode === attr.store);
  if (store) {
    const freeBytes = Math.trunc(usableShown(store, own, shown)?.availableBytes ?? 0);
    return { totalBytes: (store.logicalBytes ?? 0) + freeBytes, freeBytes };
  }
  const alive = shown.nodes.filter(({ state }) => state === "alive");
  const sum = (of: (node: (typeof alive)[number]) => number): number => alive.reduce((total, each) => total + of(each), 0);
  return { totalBytes: sum(({ usedBytes, freeBytes }) => usedBytes + freeBytes), freeBytes: sum(({ freeBytes }) => freeBytes) };
}
