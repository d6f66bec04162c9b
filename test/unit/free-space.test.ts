import { expect, test } from "bun:test";
import { storedChunkBytesMax } from "../../protocol/limits.ts";
import type { NodeSummary } from "../../protocol/schema.ts";
import { createFreeSpace } from "../../src/coordinator/free-space.ts";
import { nameAt } from "../support/member.ts";

const mib = 2 ** 20;

test("what was offered since the last heartbeat is not free, and does not make a node look full", () => {
  const publicKeyRaw = new Uint8Array(32);
  const common = { address: "", capacityBytes: 1e9, usedBytes: 0, chunkCount: 0, version: "", state: "alive" as const };
  let nodes: NodeSummary[] = [
    { ...common, name: nameAt("one"), freeBytes: 100 * mib, lastSeenMs: 1 },
    { ...common, name: nameAt("two"), freeBytes: mib, lastSeenMs: 1 },
  ];
  const get = (name: string) => nodes.filter((node) => node.name === name).map((node) => ({ ...node, publicKeyRaw }))[0];
  const space = createFreeSpace({ list: () => nodes, get });
  const free = () => space.list().map((node) => node.freeBytes);

  expect(free()).toEqual([100 * mib, mib]);
  space.noteOffer([nameAt("one"), nameAt("two")], 4 * mib);
  space.noteOffer([nameAt("one")], mib);
  expect(free()).toEqual([95 * mib, mib]);
  space.noteOffer([nameAt("one"), nameAt("gone")], 200 * mib);
  expect(free()).toEqual([storedChunkBytesMax, mib]);
  // The next heartbeat knows better.
  nodes = nodes.map((node) => ({ ...node, freeBytes: node.freeBytes - 2, lastSeenMs: 2 }));
  expect(free()).toEqual([100 * mib - 2, mib - 2]);
});
