/**
 * Writes a file and syncs it, past the page cache where that is possible.
 *
 * A chunk that has just been stored is rarely read soon, and with a sync after every file the cache
 * cannot gather writes either: it only costs a copy, and memory that has to be found for it. Direct
 * writes need address and length to be multiples of the block size. Large buffers are aligned to
 * pages as they come; the length is rounded up into the unused rest of the buffer, and the file is
 * cut to its size before it is synced. Figures: test/bench/README.md.
 *
 * What cannot be written directly (small, not aligned, a file system or system without it) goes
 * through the page cache, with the same result.
 */
import { closeSync, constants, fdatasync, ftruncate, open, write } from "node:fs";
import { promisify } from "node:util";
import { CollectiveError } from "../../protocol/errors.ts";
import { kibibyte } from "../../protocol/limits.ts";
import { beginsAtBlock, directBlockBytes, directFlag } from "../core/direct-io.ts";
import { codeOf } from "./directories.ts";

const directBytesMin = 256 * kibibyte;

const openAsync = promisify<string, number, number, number>(open);
const fdatasyncAsync = promisify(fdatasync);
const ftruncateAsync = promisify<number, number>(ftruncate);

export interface SyncedWriter {
  /** Replaces what is there; on disk when it resolves. May leave a part of the file behind when it throws. */
  write(path: string, data: Uint8Array): Promise<void>;
}

export function createSyncedWriter(): SyncedWriter {
  /** Undefined as soon as the file system has refused it once. */
  let flag = directFlag;
  return {
    write: async (path, data) => {
      const padded = flag === undefined ? undefined : paddedView(data);
      if (padded && flag !== undefined) {
        try {
          await writeFile(path, { flags: flag, bytes: padded, sizeBytes: data.length });
          return;
        } catch (error) {
          if (codeOf(error) !== "EINVAL") throw error;
          flag = undefined;
        }
      }
      await writeFile(path, { flags: 0, bytes: data, sizeBytes: data.length });
    },
  };
}

/** The data and what follows it in memory up to a whole block; undefined when it cannot be written directly. */
function paddedView(data: Uint8Array): Uint8Array | undefined {
  if (data.length < directBytesMin) return undefined;
  const paddedBytes = Math.ceil(data.length / directBlockBytes) * directBlockBytes;
  if (data.byteOffset + paddedBytes > data.buffer.byteLength || !beginsAtBlock(data)) return undefined;
  return new Uint8Array(data.buffer, data.byteOffset, paddedBytes);
}

interface FileContent {
  readonly flags: number;
  readonly bytes: Uint8Array;
  readonly sizeBytes: number;
}

async function writeFile(path: string, { flags, bytes, sizeBytes }: FileContent): Promise<void> {
  const fd = await openAsync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | flags, 0o600);
  try {
    let at = 0;
    while (at < bytes.length) at += await writeAt(fd, bytes, at);
    if (bytes.length !== sizeBytes) await ftruncateAsync(fd, sizeBytes);
    await fdatasyncAsync(fd);
  } finally {
    closeSync(fd);
  }
}

function writeAt(fd: number, data: Uint8Array, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, data, at, data.length - at, at, (error, written) => {
      if (error) reject(error);
      else if (written === 0) reject(new CollectiveError("no_space", "the disk takes no more bytes"));
      else resolve(written);
    });
  });
}
