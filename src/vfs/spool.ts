/**
 * Where written bytes of one file wait until they are stored: a little in memory, then in a file of a private folder
 * (0700, the file 0600) that has no name any more as soon as it is open. So whatever becomes of this process, nothing of it is left on
 * the disk under a name. It is not encrypted.
 */
import { mkdirSync } from "node:fs";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { kibibyte, mebibyte } from "../../protocol/limits.ts";
import type { Random } from "../core/random.ts";

export interface Spool {
  /** `data` is free again when it resolves; without a promise, at once. */
  write(data: Uint8Array, at: number): Promise<void> | undefined;
  /** Fills `into`; what was never written is zero. */
  read(into: Uint8Array, at: number): Promise<void> | undefined;
  /** Ends when the reads that are under way have ended. Nothing may be asked of it afterwards. */
  discard(): void;
}

export interface SpoolFolder {
  openSpool(): Spool;
}

/** Of one file, and of all: most files that are written are small and stored at once, and need no disk. */
const memoryBytesPerFileMax = 256 * kibibyte;
const memoryBytesMax = 16 * mebibyte;

export function createSpoolFolder({ folder, random }: { readonly folder: string; readonly random: Random }): SpoolFolder {
  let memoryBytes = 0;
  const openFile = async (): Promise<FileHandle> => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, `written-${Buffer.from(random.bytes(12)).toString("hex")}`);
    const file = await open(path, "wx+", 0o600);
    await unlink(path);
    return file;
  };

  const openSpool = (): Spool => {
    let memory: Uint8Array | undefined = new Uint8Array(0);
    let file: Promise<FileHandle> | undefined;
    let underWay = 0;
    let discarded = false;
    const grow = (toBytes: number): Uint8Array => {
      const grown = new Uint8Array(Math.min(memoryBytesPerFileMax, Math.max(toBytes, 2 * (memory?.length ?? 0))));
      grown.set(memory ?? []);
      memoryBytes += grown.length - (memory?.length ?? 0);
      return grown;
    };
    const forgetMemory = (): void => {
      memoryBytes -= memory?.length ?? 0;
      memory = undefined;
    };
    const spill = async (): Promise<FileHandle> => {
      const opened = await openFile();
      // Writes meanwhile wait for this promise, so nothing is lost between the two.
      if (memory) await writeWhole(opened, memory, 0);
      forgetMemory();
      return opened;
    };
    const tracked = async <T>(use: () => Promise<T>): Promise<T> => {
      underWay++;
      try {
        return await use();
      } finally {
        underWay--;
        if (discarded && underWay === 0) await close();
      }
    };
    const close = async (): Promise<void> => {
      const opened = await file?.catch(() => undefined);
      file = undefined;
      await opened?.close();
    };
    return {
      write: (data, at) => {
        if (!file && memory) {
          const end = at + data.length;
          const moreBytes = Math.max(0, end - memory.length);
          if (end <= memoryBytesPerFileMax && memoryBytes + moreBytes <= memoryBytesMax) {
            if (moreBytes > 0) memory = grow(end);
            memory.set(data, at);
            return undefined;
          }
        }
        return tracked(async () => {
          const opening = file ?? spill();
          file = opening;
          const opened = await opening.catch((error: unknown) => {
            // The disk may have room later; what is in memory still is.
            if (file === opening) file = undefined;
            throw error;
          });
          await writeWhole(opened, data, at);
        });
      },
      read: (into, at) => {
        if (memory) {
          into.fill(0);
          into.set(memory.subarray(at, at + into.length));
          return undefined;
        }
        return tracked(async () => {
          const opened = await file;
          let done = 0;
          while (opened && done < into.length) {
            const { bytesRead } = await opened.read(into, done, into.length - done, at + done);
            if (bytesRead === 0) break;
            done += bytesRead;
          }
          into.fill(0, done);
        });
      },
      discard: () => {
        discarded = true;
        forgetMemory();
        if (underWay === 0) void close();
      },
    };
  };
  return { openSpool };
}

async function writeWhole(file: FileHandle, data: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await file.write(data, done, data.length - done, at + done);
    done += bytesWritten;
  }
}
