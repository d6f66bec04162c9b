/**
 * Chunks that are files: `chunks/ab/cd/<id>`, where abcd are the first digits of the id.
 *
 * Invariant: whatever has its final name is complete and on disk. It is written in `incoming/`,
 * synced, renamed, and acknowledged when the directory was synced as well. `quarantine/<id>` holds
 * those whose bytes turned out to be wrong.
 */
import { mkdir, readdir, rename, rm, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { ChunkId } from "../../protocol/ids.ts";
import { codeOf, createDirectories, type Directories } from "./directories.ts";
import { createLimitedTurns } from "./turns.ts";
import { createSyncedWriter } from "./write-synced.ts";

/** File handles, and threads of the pool that may be waiting for the disk. */
const writesMax = 8;
const readsMax = 16;
const waitingMax = 4_096;

export interface ChunkFiles {
  readonly directories: Directories;
  readonly treePath: string;
  readonly quarantinePath: string;
  pathOf(id: ChunkId): string;
  /** Durable on return; leaves nothing behind when it throws. */
  write(id: ChunkId, data: Uint8Array): Promise<void>;
  /** The file's bytes but never more than `bytes` + 1, so that too long a file shows. Undefined when there is no such file. */
  read(id: ChunkId, bytes: number): Promise<Uint8Array | undefined>;
  /** Undefined when there is no such file. */
  sizeOf(id: ChunkId): Promise<number | undefined>;
  /** Takes it out of the tree. False when there is no such file. */
  quarantine(id: ChunkId): Promise<boolean>;
  /** A good copy has taken its place. */
  dropQuarantined(id: ChunkId): Promise<void>;
  /** Removes it from the tree and from quarantine; durable on return. */
  remove(id: ChunkId): Promise<void>;
}

export async function openChunkFiles(dir: string): Promise<ChunkFiles> {
  const treePath = join(dir, "chunks");
  const incomingPath = join(dir, "incoming");
  const quarantinePath = join(dir, "quarantine");
  for (const path of [treePath, incomingPath, quarantinePath]) await mkdir(path, { recursive: true, mode: 0o700 });
  // Whoever was writing these has not been answered.
  for (const name of await readdir(incomingPath)) await rm(join(incomingPath, name), { force: true, recursive: true });
  const directories = createDirectories(treePath);
  await directories.sync(dir);

  const writer = createSyncedWriter();
  const writes = createLimitedTurns({ runningMax: writesMax, waitingMax });
  const reads = createLimitedTurns({ runningMax: readsMax, waitingMax });
  const leafOf = (id: ChunkId): string => join(treePath, id.slice(0, 2), id.slice(2, 4));
  const pathOf = (id: ChunkId): string => `${leafOf(id)}/${id}`;
  const incomingOf = (id: ChunkId): string => `${incomingPath}/${id}`;
  const quarantineOf = (id: ChunkId): string => `${quarantinePath}/${id}`;

  async function moveIntoPlace(id: ChunkId): Promise<void> {
    const leaf = leafOf(id);
    try {
      await rename(incomingOf(id), pathOf(id));
      await directories.settled(leaf);
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
      await directories.ensure(leaf);
      await rename(incomingOf(id), pathOf(id));
    }
    await directories.sync(leaf);
  }

  async function writeOne(id: ChunkId, data: Uint8Array): Promise<void> {
    try {
      await writer.write(incomingOf(id), data);
      await moveIntoPlace(id);
    } catch (error) {
      for (const path of [incomingOf(id), pathOf(id)]) await unlink(path).catch(() => undefined);
      throw writeError(error);
    }
  }

  return {
    directories,
    treePath,
    quarantinePath,
    pathOf,
    write: (id, data) => writes.run(() => writeOne(id, data)),
    read: (id, bytes) =>
      reads.run(() =>
        orUndefined(
          Bun.file(pathOf(id))
            .slice(0, bytes + 1)
            .bytes(),
        ),
      ),
    sizeOf: async (id) => (await orUndefined(stat(pathOf(id))))?.size,
    quarantine: async (id) => (await orUndefined(rename(pathOf(id), quarantineOf(id)).then(() => true))) ?? false,
    dropQuarantined: async (id) => void (await orUndefined(unlink(quarantineOf(id)))),
    remove: (id) =>
      writes.run(async () => {
        await orUndefined(unlink(quarantineOf(id)));
        const removed = await orUndefined(unlink(pathOf(id)).then(() => true));
        if (removed) await directories.sync(leafOf(id));
      }),
  };
}

function writeError(thrown: unknown): CollectiveError {
  const error = toCollectiveError(thrown);
  if (error.code !== "no_space" && error.code !== "quota_exceeded") return error;
  return new CollectiveError("no_space", "the node's disk is full", {
    hint: "make room on the node's disk, add a node, or delete something",
    cause: thrown,
  });
}

async function orUndefined<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
