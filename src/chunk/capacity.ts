/**
 * Who may still write how much. Bytes are reserved before they are written, so that concurrent puts
 * together, into however many stores share it, never exceed the capacity, and never eat the part of
 * the disk that deleting needs.
 */
import { statfsSync } from "node:fs";
import { CollectiveError } from "../../protocol/errors.ts";
import { mebibyte } from "../../protocol/limits.ts";
import type { Clock } from "../core/clock.ts";

/** Left free on the disk: deleting has to write a little before it frees anything. */
export const diskReserveBytes = 8 * mebibyte;
/** The disk is asked this often at most while it is far from full. */
const diskSampleIntervalMs = 500;
const diskPlentyBytes = 1024 * mebibyte;

export interface CapacityDeps {
  readonly capacityBytes: number;
  /** What the disk has left for this process. */
  readonly diskFreeBytes: () => number;
  readonly clock: Pick<Clock, "monotonicMs">;
}

export interface Capacity {
  readonly capacityBytes: number;
  /** Counts a store's bytes against the capacity, until disposed of. */
  count(usedBytes: () => number): Disposable;
  /** Throws `no_space` with details. The result gives the reservation back; what was written counts as used by then. */
  reserve(bytes: number): () => void;
  freeBytes(): number;
}

/** Of the disk that a folder is on. */
export function createDiskCapacity(options: Omit<CapacityDeps, "diskFreeBytes"> & { readonly dir: string }): Capacity {
  return createCapacity({ ...options, diskFreeBytes: () => diskFreeBytesAt(options.dir) });
}

export function createCapacity({ capacityBytes, diskFreeBytes, clock }: CapacityDeps): Capacity {
  const stores = new Set<() => number>();
  let reservedBytes = 0;
  let disk = { freeBytes: 0, atMs: Number.NEGATIVE_INFINITY };

  function diskFree(): number {
    const nowMs = clock.monotonicMs();
    if (disk.freeBytes < diskPlentyBytes || nowMs - disk.atMs > diskSampleIntervalMs) disk = { freeBytes: diskFreeBytes(), atMs: nowMs };
    return Math.max(0, disk.freeBytes - diskReserveBytes - reservedBytes);
  }

  function usedByAll(): number {
    let bytes = 0;
    for (const usedBytes of stores) bytes += usedBytes();
    return bytes;
  }

  const capacityFree = () => Math.max(0, capacityBytes - usedByAll() - reservedBytes);

  return {
    capacityBytes,
    count(usedBytes) {
      stores.add(usedBytes);
      return { [Symbol.dispose]: () => void stores.delete(usedBytes) };
    },
    reserve(bytes) {
      const details = { usedBytes: usedByAll(), capacityBytes, neededBytes: bytes };
      if (bytes > capacityFree()) {
        throw new CollectiveError(
          "no_space",
          `the node is full: ${details.usedBytes} of ${details.capacityBytes} bytes used, ${bytes} more needed`,
          {
            hint: "give the node more capacity, add a node, or delete something",
            details,
          },
        );
      }
      const freeOnDisk = diskFree();
      if (bytes > freeOnDisk) {
        throw new CollectiveError("no_space", `the node's disk is full: ${freeOnDisk} bytes left to write, ${bytes} needed`, {
          hint: "make room on the node's disk, add a node, or delete something",
          details: { ...details, diskFreeBytes: freeOnDisk },
        });
      }
      reservedBytes += bytes;
      let released = false;
      return () => {
        if (!released) reservedBytes -= bytes;
        released = true;
      };
    },
    freeBytes: () => Math.min(capacityFree(), diskFree()),
  };
}

function diskFreeBytesAt(dir: string): number {
  const { bavail, bsize } = statfsSync(dir);
  return bavail * bsize;
}
