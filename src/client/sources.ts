/** Content sources: local files, file descriptors and memory. */
import { read as readCallback } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { promisify } from "node:util";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Clock } from "../core/clock.ts";
import type { ContentSource } from "./pieces.ts";

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
 *
 * After `signal` a read that waits for somebody else is no longer waited for, and throws `cancelled`;
 * it may still write into the buffer it was given.
 */
export function descriptorSource(fd: number, { clock, signal }: { clock: Pick<Clock, "sleep">; signal: AbortSignal }): ContentSource {
  const readSome = async (into: Uint8Array, at: number): Promise<number> => {
    for (;;) {
      try {
        return (await read(fd, { buffer: into, offset: at, length: into.length - at, position: null })).bytesRead;
      } catch (error) {
        // Whoever shares the pipe may have made it non-blocking.
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
        await clock.sleep(pipePollMs, signal);
      }
    }
  };
  return {
    sizeBytes: undefined,
    read: async (into) => {
      let filled = 0;
      while (filled < into.length) {
        const bytes = await orAborted(readSome(into, filled), signal);
        if (bytes === 0) break;
        filled += bytes;
      }
      return filled;
    },
  };
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new CollectiveError("cancelled", "cancelled"));
  if (signal.aborted) onAbort();
  // Taken off again after each read, so that nothing piles up over a long stream.
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    work.catch(() => undefined);
  }
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
