/**
 * Chunks that were read, kept on this machine's disk in their stored form: what the datastore encrypts is encrypted here too. A folder may
 * be used by several mounts at once.
 *
 * - A file is named by the chunk's id and comes into being whole (temporary name, rename). Nothing is forced to the disk: what a crash
 *   of the machine has spoilt does not hash to its name, is removed, and is fetched anew.
 * - Nothing here is needed: a disk that is full, gone or cannot be written to makes reading slower, and no more.
 * - What was used last stays. Each mount counts what it adds and looks at the whole folder before it has added an eighth of the limit; so
 *   with several mounts there may be an eighth for each but the first on top.
 */
import { mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { type ChunkId, chunkIdFromBytes } from "../../protocol/ids.ts";
import { digest } from "../codec/digest.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";

export interface ChunkFolder {
  /** Fills `into`, which is as large as the stored form, and answers whether it could. */
  read(id: ChunkId, into: Uint8Array): Promise<boolean>;
  /** `stored` must stay as it is until this resolves, which it does also when nothing was kept. It may be left out when the disk is slow. */
  keep(id: ChunkId, stored: Uint8Array): Promise<void>;
}

export interface ChunkFolderOptions {
  readonly folder: string;
  readonly bytesMax: number;
  readonly clock: Clock;
  readonly random: Random;
}

interface KeptFile {
  readonly path: string;
  readonly bytes: number;
  readonly usedMs: number;
}

/** More would only queue for the same disk. */
const writesMax = 4;
const addedShareMax = 1 / 8;
/** Of a mount that was killed while it wrote. */
const temporaryMsMax = 60 * 60_000;

export function createChunkFolder({ folder, bytesMax, clock, random }: ChunkFolderOptions): ChunkFolder {
  const addedBytesMax = Math.floor(bytesMax * addedShareMax);
  /** Since the whole folder was looked at; before the first time it may hold anything. */
  let addedBytes = addedBytesMax;
  let writes = 0;
  let trimming: Promise<void> | undefined;
  const directoryOf = (id: ChunkId): string => join(folder, id.slice(0, 2));
  const pathOf = (id: ChunkId): string => join(directoryOf(id), id);

  const trim = async (): Promise<void> => {
    addedBytes = 0;
    const files = await filesBelow(folder);
    const nowMs = clock.wallMs();
    let excessBytes = files.reduce((sum, { bytes }) => sum + bytes, 0) - (bytesMax - addedBytesMax);
    for (const { path, bytes, usedMs } of files.sort((one, other) => one.usedMs - other.usedMs)) {
      const isLeftover = path.endsWith(temporaryEnding);
      if (isLeftover ? nowMs - usedMs < temporaryMsMax : excessBytes <= 0) continue;
      await unlink(path).catch(() => undefined);
      excessBytes -= bytes;
    }
  };
  const write = async (id: ChunkId, stored: Uint8Array): Promise<void> => {
    const temporary = join(directoryOf(id), `${Buffer.from(random.bytes(12)).toString("hex")}${temporaryEnding}`);
    await mkdir(directoryOf(id), { recursive: true, mode: 0o700 });
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(stored);
      await rename(temporary, pathOf(id));
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    } finally {
      await file.close();
    }
  };
  return {
    read: async (id, into) => {
      const file = await open(pathOf(id), "r").catch(() => undefined);
      if (!file) return false;
      try {
        const { size } = await file.stat();
        if (size === into.length && (await fills(file, into)) && chunkIdFromBytes(await digest(into)) === id) {
          const now = new Date(clock.wallMs());
          await file.utimes(now, now).catch(() => undefined);
          return true;
        }
      } catch {
        // A disk that cannot be read is as good as none.
      } finally {
        await file.close().catch(() => undefined);
      }
      await unlink(pathOf(id)).catch(() => undefined);
      return false;
    },
    keep: async (id, stored) => {
      if (writes >= writesMax || stored.length > addedBytesMax) return;
      writes++;
      try {
        if (addedBytes + stored.length > addedBytesMax) {
          trimming ??= trim().finally(() => {
            trimming = undefined;
          });
          await trimming;
        }
        addedBytes += stored.length;
        await write(id, stored);
      } catch {
        // Nor is one that cannot be written to.
      } finally {
        writes--;
      }
    },
  };
}

const temporaryEnding = ".tmp";

async function fills(file: Awaited<ReturnType<typeof open>>, into: Uint8Array): Promise<boolean> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await file.read(into, done, into.length - done, done);
    if (bytesRead === 0) return false;
    done += bytesRead;
  }
  return true;
}

/** What others remove meanwhile is left out. */
async function filesBelow(folder: string): Promise<KeptFile[]> {
  const files: KeptFile[] = [];
  for (const directory of await readdir(folder).catch(() => [])) {
    for (const name of await readdir(join(folder, directory)).catch(() => [])) {
      const path = join(folder, directory, name);
      const found = await stat(path).catch(() => undefined);
      if (found) files.push({ path, bytes: found.size, usedMs: found.mtimeMs });
    }
  }
  return files;
}
