/** Content sources: local files and streams. */
import type { FileHandle } from "node:fs/promises";
import type { ContentSource } from "./ingest.ts";

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

/** A stream whose length nobody knows. */
export function streamSource(stream: ReadableStream<Uint8Array>): ContentSource {
  const reader = stream.getReader();
  let rest: Uint8Array = new Uint8Array(0);
  return {
    sizeBytes: undefined,
    read: async (into) => {
      let filled = 0;
      while (filled < into.length) {
        if (rest.length === 0) {
          const { done, value } = await reader.read();
          if (done) break;
          rest = value;
          continue;
        }
        const part = rest.subarray(0, into.length - filled);
        into.set(part, filled);
        filled += part.length;
        rest = rest.subarray(part.length);
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
