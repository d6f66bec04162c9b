/**
 * The local file that a large fetch writes, in order and piece by piece.
 *
 * Of a file too large to be wanted in the page cache as a whole, whole blocks go past it where that is
 * possible: filling the cache costs about as much of the processor as all else (test/bench/README.md).
 * The rest of the last block, and whatever cannot be written directly, goes through the cache, with
 * the same result. A piece is in the file as far as its system is concerned when `write` resolves, so
 * whenever the process is killed, the file has no gap but where zeros were left out on purpose.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { mebibyte } from "../../protocol/limits.ts";
import { beginsAtBlock, directBlockBytes, directFlag } from "../core/direct-io.ts";

export interface TargetFile {
  /** Called for one piece after the other. The piece may change again when it resolves. */
  write(piece: Uint8Array, at: number): Promise<void>;
  /** To the whole size, which the last piece may not have reached. */
  lengthen(sizeBytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface TargetFileOptions {
  /** Of the whole file in the end. */
  readonly sizeBytes: number;
  /** False to begin with an empty file. */
  readonly keep: boolean;
  readonly mode: number;
}

/** Smaller ones are likely to be read soon, and quick to write either way. */
const directFileBytesMin = 64 * mebibyte;

export async function openTargetFile(path: string, { sizeBytes, keep, mode }: TargetFileOptions): Promise<TargetFile> {
  const cached = await open(path, keep ? "r+" : "w", mode);
  let direct = sizeBytes < directFileBytesMin ? undefined : await openDirect(path);
  const closeDirect = async (): Promise<void> => {
    await direct?.close();
    direct = undefined;
  };
  /** Answers how much of the piece's beginning it has written. */
  const writeDirect = async (piece: Uint8Array, at: number): Promise<number> => {
    if (!direct || at % directBlockBytes !== 0 || !beginsAtBlock(piece)) return 0;
    const blocks = piece.subarray(0, piece.length - (piece.length % directBlockBytes));
    try {
      await writeWhole(direct, blocks, at);
      return blocks.length;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
      await closeDirect();
      return 0;
    }
  };
  return {
    write: async (piece, at) => {
      const done = await writeDirect(piece, at);
      await writeWhole(cached, piece.subarray(done), at + done);
    },
    lengthen: (toBytes) => cached.truncate(toBytes),
    close: async () => {
      await closeDirect();
      await cached.close();
    },
  };
}

/** Undefined where it cannot be had, for whatever reason: the file can be written without. */
async function openDirect(path: string): Promise<FileHandle | undefined> {
  if (directFlag === undefined) return undefined;
  return await open(path, constants.O_WRONLY | directFlag).catch(() => undefined);
}

/** One write may take less than it is given, when the disk is about to be full. */
async function writeWhole(file: FileHandle, piece: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < piece.length; ) {
    const { bytesWritten } = await file.write(piece, done, piece.length - done, at + done);
    done += bytesWritten;
  }
}
