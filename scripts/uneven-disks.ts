/**
 * How much uneven disks hold and how evenly they fill, by strategy: first by filling them with the pure
 * functions, then by filling a coordinator and three nodes of 300, 200 and 150 MB with `put` until they
 * are full. The second part needs dist/collective.
 *
 *   bun scripts/uneven-disks.ts [--simulate]     only the first part
 */
import { parseArgs } from "node:util";
import { strategies } from "../protocol/schema.ts";
import { renderTable } from "../src/cli/output/table.ts";
import { fillCollective } from "../test/support/e2e-uneven-disks.ts";
import { fillNodes, levelSpread, policyOf, spreadBound, unevenShapes } from "../test/support/filling.ts";
import { cleanUp } from "../test/support/process.ts";

const { values } = parseArgs({ args: Bun.argv.slice(2), options: { simulate: { type: "boolean" } } });

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;
const right = (header: string) => ({ header, align: "right" }) as const;

function simulated(): string {
  const rows = unevenShapes().flatMap((shape) =>
    strategies.map((strategy) => {
      const policy = policyOf({ strategy, replicas: shape.replicas });
      const { chunks, spreadChunks, used } = fillNodes({ policy, nodes: shape.nodes });
      const possible = spreadBound(policy, shape.nodes);
      const isOneMember = new Set(shape.nodes.map((node) => node.member)).size === 1;
      const levels = isOneMember ? levelSpread(shape, used).toFixed(1) : "-";
      return [shape.name, `${shape.replicas}`, strategy, possible.toFixed(0), percent(spreadChunks, possible), `${chunks}`, levels];
    }),
  );
  return renderTable({
    columns: [
      { header: "DISKS" },
      right("COPIES"),
      { header: "STRATEGY" },
      right("POSSIBLE, GB"),
      right("REACHED"),
      right("SPREAD OR NOT, GB"),
      right("LEVELS APART, POINTS"),
    ],
    rows,
  });
}

async function real(): Promise<string> {
  const rows: string[][] = [];
  for (const strategy of strategies) {
    const filled = await fillCollective({ strategy, replicas: 2, capacities: ["300MB", "200MB", "150MB"] });
    const [megabytes, seconds] = [filled.possibleBytes / 1e6, filled.elapsedMs / 1000];
    const levels = filled.levels.map((level) => level.toFixed(1)).join(", ");
    rows.push([strategy, megabytes.toFixed(0), percent(filled.storedBytes, filled.possibleBytes), levels, seconds.toFixed(1)]);
  }
  const columns = [{ header: "STRATEGY" }, right("POSSIBLE, MB"), right("REACHED"), right("LEVELS, %"), right("SECONDS")];
  return renderTable({ columns, rows });
}

try {
  console.log(simulated());
  if (!values.simulate) console.log(`\n300, 200 and 150 MB, 2 copies, the executable:\n\n${await real()}`);
} finally {
  cleanUp();
}
