/** What a mount tells the coordinator of its locks, and when. */
import { expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { parseInode } from "../../protocol/ids.ts";
import { silentLog } from "../../src/core/log.ts";
import { createFileLocks } from "../../src/vfs/file-locks.ts";
import type { LockRequest } from "../../src/vfs/file-system.ts";
import type { Node, Realm } from "../../src/vfs/nodes.ts";
import { expectCode } from "../support/metadata.ts";

const write: LockRequest = { style: "posix", owner: 1n, type: "write", startByte: 0, endByte: 9, pid: 1 };
const atOnce = { wait: false, signal: () => new AbortController().signal };

/** A file that is open here, and what is done for it in its order. */
function world({ leased }: { readonly leased: boolean }) {
  const done: string[] = [];
  const lock = async (_: unknown, { type }: { type: string }) => {
    done.push(`lock ${type}`);
    if (done.length === 1) throw new CollectiveError("timed_out", "no answer");
    return true;
  };
  const told = (how: string) => async (_: unknown, locks: readonly unknown[]) => done.push(`${how} ${locks.length}`) > 0;
  const session = { lock, claim: told("claim"), yield: told("yield") };
  const inode = parseInode(7);
  const realm = { session } as unknown as Realm;
  const node = { inode, realm, isRemoved: false, opened: { leased, content: { hasUnsaved: false } } } as unknown as Node;
  const files = { commit: async () => undefined, flushKernel: async () => undefined, recall: async () => void done.push("store") };
  const locks = createFileLocks({ nodes: { known: () => node, numberOf: () => 7 }, files, log: silentLog });
  return { locks, node, realm, inode, done };
}

test("the coordinator knows the locks on a recalled file before it is stored, however long that takes", async () => {
  const { locks, node, realm, inode, done } = world({ leased: true });
  await locks.set(node, write, atOnce);
  await locks.recall(realm, inode);
  expect(done).toEqual(["claim 1", "store", "yield 1"]);
});

test("a file is stored and no longer leased also when the coordinator could not be told of its locks", async () => {
  const { locks, node, realm, inode, done } = world({ leased: true });
  await locks.set(node, write, atOnce);
  const unreachable = () => Promise.reject(new CollectiveError("unavailable", "away"));
  await expectCode("unavailable", locks.recall({ ...realm, session: { ...realm.session, claim: unreachable } }, inode));
  expect(done).toEqual(["store"]);
});

test("a lock whose answer was lost is given back before the next is asked for", async () => {
  const { locks, node, done } = world({ leased: false });
  await expectCode("timed_out", async () => locks.set(node, write, atOnce));
  await locks.set(node, write, atOnce);
  expect(done).toEqual(["lock write", "lock none", "lock write"]);
});
