/** Content sources: local files, file descriptors and memory. */
import { read as readCallback } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { promisify } from "node:util";
import type { Clock } from "../core/clock.ts";
import type { ContentSource } from "./ingest.ts";

const read = promisify(readCallback);
const pipePollMs = 2;

/** Reads on from where the handle stands. The size is that at the time of opening; what is added later is not read. */
export function fileSource(file: FileHandle, sizeBytes: number): ContentSource {
  let at = 0;
  return {
    sizeBytes,
    read: async (into) => {
      let filled = 0;
      while (filled < into.length && at < sizeBytes) {
        const { bytesRead } = await file.read(into, filled, Math.min(into.length - filled, sizeBytes - at), at);
        if (bytesRead === 0) break;
        filled += bytesRead;
        at += bytesRead;
      }
      return filled;
    },
  };
}

/**
 * A file descriptor whose length nobody knows, like standard input. Read straight into the caller's
 * buffer: a stream object would leave a copy of everything to the garbage collector.
 */
export function descriptorSource(fd: number, clock: Pick<Clock, "sleep">): ContentSource {
  const readSome = async (into: Uint8Array, at: number): Promise<number> => {
    for (;;) {
      try {
        return (await read(fd, { buffer: into, offset: at, length: into.length - at, position: null })).bytesRead;
      } catch (error) {
        // Whoever shares the pipe may have made it non-blocking.
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
        await clock.sleep(pipePollMs);
      }
    }
  };
  return {
    sizeBytes: undefined,
    read: async (into) => {
      let filled = 0;
      while (filled < into.length) {
        const bytes = await readSome(into, filled);
        if (bytes === 0) break;
        filled += bytes;
      }
      return filled;
    },
  };
}

/** Content that is in memory already. */
export function bytesSource(bytes: Uint8Array): ContentSource {
  let at = 0;
  return {
    sizeBytes: bytes.length,
    read: async (into) => {
      const part = bytes.subarray(at, at + into.length);
      into.set(part);
      at += part.length;
      return part.length;
    },
  };
}
