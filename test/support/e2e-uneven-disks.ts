/** Fills the nodes of a real collective with `put` until it says that there is no space. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { exitCodeOf } from "../../protocol/errors.ts";
import { mebibyte } from "../../protocol/limits.ts";
import type { Strategy } from "../../protocol/schema.ts";
import { parseSize } from "../../src/core/units.ts";
import { succeed, succeedJson, until } from "./e2e-commands.ts";
import { bytesOf } from "./e2e-files.ts";
import { bound } from "./filling.ts";
import { startCollective } from "./process.ts";

/** Small enough that its chunks are of 1 MiB, and that the last one, which is refused whole, does not count. */
const fileBytes = 8 * mebibyte;
const filesMax = 1_000;

export interface FilledCollective {
  /** With all their copies, in stored form. */
  readonly storedBytes: number;
  readonly possibleBytes: number;
  /** What `store show` announced when all was empty. */
  readonly announcedBytes: number;
  /** By node, in percent, when the first chunks did not get all their copies. */
  readonly levels: readonly number[];
  /** What the last `put` said. */
  readonly refusal: string;
  readonly elapsedMs: number;
}

interface ShownStore {
  readonly available: number;
  readonly chunks: number;
  readonly stored_size: number;
  readonly degraded_chunks: number;
}

export async function fillCollective(request: {
  readonly strategy: Strategy;
  readonly replicas: number;
  readonly capacities: readonly string[];
}): Promise<FilledCollective> {
  const { capacities, replicas, strategy } = request;
  await using collective = await startCollective({ nodes: capacities.length, capacity: capacities });
  await succeed(collective, ["store", "create", "s", "--strategy", strategy, "--replicas", `${replicas}`]);
  const show = async () => (await succeedJson(collective, ["store", "show", "s"])) as ShownStore;
  const { available: announcedBytes } = await show();

  const startedAtMs = performance.now();
  let put = await putFile(0);
  let levels: number[] | undefined;
  let count = 1;
  for (; put.exitCode === 0 && count < filesMax; count++) {
    if (put.stderr.includes("degraded")) levels ??= await levelsOf(await show());
    put = await putFile(count);
  }
  if (put.exitCode !== exitCodeOf.no_space) throw new Error(`put ${count} ended with ${put.exitCode}: ${put.stderr}`);
  const elapsedMs = performance.now() - startedAtMs;
  const store = await show();
  return {
    storedBytes: store.stored_size * (1 - store.degraded_chunks / store.chunks),
    possibleBytes: bound(
      capacities.map((capacity) => parseSize(capacity)),
      replicas,
    ),
    announcedBytes,
    levels: levels ?? (await levelsOf(store)),
    refusal: put.stderr.trimEnd(),
    elapsedMs,
  };

  async function putFile(count: number) {
    const local = join(collective.home.path, "local");
    writeFileSync(local, bytesOf(`uneven ${count}`, fileBytes));
    return await collective.run(["put", local, `/s/${count}`]);
  }

  /** As `df` tells them, when a heartbeat has brought the last of it. */
  async function levelsOf(store: ShownStore): Promise<number[]> {
    const copiedBytes = store.stored_size * (replicas - store.degraded_chunks / store.chunks);
    const df = async () => ((await succeedJson(collective, ["df"])) as { nodes: { capacity: number; used: number }[] }).nodes;
    const nodes = await until(df, (all) => all.reduce((sum, { used }) => sum + used, 0) >= copiedBytes);
    return nodes.map(({ capacity, used }) => (100 * used) / capacity);
  }
}
