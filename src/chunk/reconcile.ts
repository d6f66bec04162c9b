/**
 * Makes rows and files agree after an unclean stop, the files being right: a file without a row gets
 * one, a row without a file goes. Costs one listing of the tree, and work only where they differ; the
 * tree is walked synchronously, which is many times faster, with a turn for the event loop after
 * each 256th of it.
 *
 * Nothing is hashed here: a file that has its final name was synced before it got it. What decays
 * later is found by `verify`.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import { type ChunkId, parseChunkId } from "../../protocol/ids.ts";
import { storedChunkBytesMax } from "../../protocol/limits.ts";
import type { Log } from "../core/log.ts";
import { nextTurn } from "./checks.ts";
import type { ChunkFiles } from "./files.ts";
import type { ChunkRow, ChunkRows } from "./index-rows.ts";

/** Changes of rows that are queued at once. */
const batchMax = 1_000;
const prefixes = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

interface Found {
  adopted: number;
  dropped: number;
  quarantined: number;
}

export async function reconcile(deps: { readonly rows: ChunkRows; readonly files: ChunkFiles; readonly log: Log }): Promise<void> {
  const { rows, files, log } = deps;
  const quarantine = readQuarantine(files);
  const found: Found = { adopted: 0, dropped: 0, quarantined: 0 };
  const work: Promise<void>[] = [];
  for (const prefix of prefixes) {
    const known = rows.filesWithPrefix(prefix);
    for (const [leaf, ids] of readLeaves(join(files.treePath, prefix))) {
      const fresh = ids.filter((id) => known.get(id)?.state !== "stored");
      for (const id of ids) known.delete(id);
      if (fresh.length > 0) work.push(adopt(deps, { leaf, ids: fresh, found }));
    }
    await Promise.all(work.splice(0));
    for (const [id, row] of known) {
      work.push(settleMissing(deps, { id, row, quarantinedBytes: quarantine.get(id), found }));
      if (work.length === batchMax) await Promise.all(work.splice(0));
    }
    await Promise.all(work.splice(0));
    await nextTurn();
  }
  await adoptQuarantined(deps, quarantine, found);
  await syncTree(files);
  rows.recount();
  // A store that is opened for the first time has nothing to tell.
  if (rows.totals.chunkCount > 0 || found.dropped > 0)
    log.info("chunk index reconciled after an unclean stop", { ...found, chunks: rows.totals.chunkCount });
}

async function adopt(
  deps: { rows: ChunkRows; files: ChunkFiles; log: Log },
  at: { leaf: string; ids: ChunkId[]; found: Found },
): Promise<void> {
  // Its name may not have been durable yet when the process ended.
  await deps.files.directories.sync(at.leaf);
  for (const id of at.ids) {
    const { size } = statSync(deps.files.pathOf(id));
    if (size > 0 && size <= storedChunkBytesMax) {
      await deps.rows.putFile(id, size, "stored");
      await deps.files.dropQuarantined(id);
      at.found.adopted++;
    } else {
      deps.log.warn("chunk file of impossible size", { chunk: id, bytes: size });
      await deps.files.quarantine(id);
      await deps.rows.putFile(id, size, "quarantined");
      at.found.quarantined++;
    }
  }
}

/** A row whose chunk is not in the tree. */
async function settleMissing(
  deps: { rows: ChunkRows; log: Log },
  at: { id: ChunkId; row: ChunkRow; quarantinedBytes: number | undefined; found: Found },
): Promise<void> {
  if (at.quarantinedBytes === undefined) {
    await deps.rows.remove(at.id);
    at.found.dropped++;
    if (at.row.state === "stored") deps.log.warn("chunk file is gone", { chunk: at.id, bytes: at.row.bytes });
  } else if (at.row.state === "stored") {
    await deps.rows.quarantine(at.id);
    at.found.quarantined++;
  }
}

async function adoptQuarantined(
  deps: { rows: ChunkRows; files: ChunkFiles },
  quarantine: ReadonlyMap<ChunkId, number>,
  found: Found,
): Promise<void> {
  for (const [id, bytes] of quarantine) {
    const row = deps.rows.find(id);
    if (row?.state === "quarantined") continue;
    if (row) {
      await deps.files.dropQuarantined(id);
    } else {
      await deps.rows.putFile(id, bytes, "quarantined");
      found.quarantined++;
    }
  }
}

/** Directories may have been made just before the stop. */
async function syncTree(files: ChunkFiles): Promise<void> {
  await files.directories.sync(files.treePath);
  for (const name of readdirSync(files.treePath)) {
    if (prefixes.includes(name)) await files.directories.sync(join(files.treePath, name));
  }
}

function readQuarantine(files: ChunkFiles): ReadonlyMap<ChunkId, number> {
  const sizes = new Map<ChunkId, number>();
  for (const id of chunkIdsIn(files.quarantinePath, "")) sizes.set(id, statSync(join(files.quarantinePath, id)).size);
  return sizes;
}

function* readLeaves(branch: string): Generator<[leaf: string, ids: ChunkId[]]> {
  const prefix = branch.slice(-2);
  for (const name of namesIn(branch)) {
    if (!/^[0-9a-f]{2}$/.test(name)) continue;
    const leaf = join(branch, name);
    yield [leaf, chunkIdsIn(leaf, prefix + name)];
  }
}

/** Other names are none of our business and stay. */
function chunkIdsIn(dir: string, prefix: string): ChunkId[] {
  const ids: ChunkId[] = [];
  for (const name of namesIn(dir)) {
    try {
      if (name.startsWith(prefix)) ids.push(parseChunkId(name));
    } catch (error) {
      if (!(error instanceof CollectiveError)) throw error;
    }
  }
  return ids;
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
