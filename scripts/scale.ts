/**
 * A federation of many members on one machine, as real processes, measured against what the product promises: a killed
 * member is known dead everywhere within 10 s, a new one known everywhere within 2 s, one that is paused for 5 s never
 * declared dead. Needs dist/collective, about 40 MB for each process, and a machine that has little else to do.
 *
 *   bun scripts/scale.ts [--members 10] [--nodes 3] [--seed N] [--rounds 3]
 *
 * Prints its seed first; exits 1 when a promise was not kept.
 */
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { renderTable } from "../src/cli/output/table.ts";
import { formatSize } from "../src/core/units.ts";
import { measureScale, pausedMs, type ScaleFigures, type ScaleRound, type Spread, scaleLimits } from "../test/support/e2e-scale.ts";
import { cleanUp } from "../test/support/process.ts";

const { values } = parseArgs({
  args: Bun.argv.slice(2),
  options: {
    members: { type: "string", default: "10" },
    nodes: { type: "string", default: "3" },
    rounds: { type: "string", default: "3" },
    seed: { type: "string" },
  },
});
const [members, nodes, rounds] = [Number(values.members), Number(values.nodes), Number(values.rounds)];
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
if (![members, nodes, rounds, seed].every((number) => Number.isSafeInteger(number) && number >= 0) || members < 2) {
  console.error("scale: --members is a number from 2, --nodes, --rounds and --seed are whole numbers");
  process.exit(2);
}

const load = (): string =>
  `load ${loadavg()
    .map((average) => average.toFixed(1))
    .join(" ")} of ${cpus().length} cores`;
const seconds = (ms: number): string => (ms / 1000).toFixed(1);

interface Promised {
  readonly what: string;
  readonly of: (round: ScaleRound) => Spread;
  readonly limitMs: number | undefined;
}

const promised: readonly Promised[] = [
  { what: "new member known", of: ({ known }) => known, limitMs: scaleLimits.knownMs },
  { what: "killed member suspected", of: ({ suspected }) => suspected, limitMs: undefined },
  { what: "killed member dead", of: ({ dead }) => dead, limitMs: scaleLimits.deadMs },
];

function report(figures: ScaleFigures): boolean {
  let kept = true;
  const verdict = (isKept: boolean): string => {
    kept &&= isKept;
    return isKept ? "kept" : "NOT KEPT";
  };
  const rows = promised.flatMap(({ what, of, limitMs }) =>
    figures.rounds.map((round, index) => {
      const { first, all } = of(round);
      const limit = limitMs === undefined ? ["-", "-"] : [seconds(limitMs), verdict(all <= limitMs)];
      return [what, `${index + 1}`, seconds(first), seconds(all), ...limit];
    }),
  );
  const paused = figures.rounds.map(({ pausedStates }, index) => {
    const what = `paused for ${seconds(pausedMs)} s: ${pausedStates.join(", ")}`;
    return [what, `${index + 1}`, "-", "-", "never dead", verdict(!pausedStates.includes("dead"))];
  });
  const columns = ["WHAT", "ROUND", "FIRST, s", "EVERYWHERE, s", "LIMIT", ""].map((header, index) => ({
    header,
    align: index === 0 || index === 5 ? ("left" as const) : ("right" as const),
  }));
  console.log(`\n${renderTable({ columns, rows: [...rows, ...paused] })}`);
  console.log(
    `\n${figures.processes} processes: ${seconds(figures.startedMs)} s to start, ${seconds(figures.peeredMs)} s until all were peered, ` +
      `${formatSize(figures.memoryBytes)} in all, ${formatSize(figures.memoryBytes / figures.processes)} each`,
  );
  return kept;
}

console.log(`seed ${seed}: ${members} members with ${nodes} nodes each, ${rounds} rounds; ${load()} before`);
try {
  const figures = await measureScale({ members, nodes, rounds, seed, say: (line) => console.log(line) });
  if (!report(figures)) process.exitCode = 1;
  console.log(load());
} catch (error) {
  console.error(`scale: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  cleanUp();
}
