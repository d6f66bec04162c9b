/** A chunk store on the disk with a capacity of its own. */
import { gibibyte } from "../../protocol/limits.ts";
import { createCapacity, createDiskCapacity } from "../../src/chunk/capacity.ts";
import { createDiskChunkStore } from "../../src/chunk/disk.ts";
import type { ChunkStore } from "../../src/chunk/store.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";

export interface DiskStoreOptions {
  readonly capacityBytes?: number;
  /** Replaces the question to the disk, to see what happens when the disk is fuller than it says. */
  readonly diskFreeBytes?: () => number;
}

export function openDiskStore(dir: string, { capacityBytes = gibibyte, diskFreeBytes }: DiskStoreOptions = {}): Promise<ChunkStore> {
  const clock = systemClock;
  const capacity = diskFreeBytes
    ? createCapacity({ capacityBytes, clock, diskFreeBytes })
    : createDiskCapacity({ capacityBytes, clock, dir });
  return createDiskChunkStore({ dir, capacity, log: silentLog, clock });
}
