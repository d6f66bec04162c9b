/** Programs of every day at work on the mount. scripts/programs.ts gives them more to do. */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { succeed } from "../support/e2e-commands.ts";
import { mountingImpossible } from "../support/e2e-mount.ts";
import { type MountedCollective, mountCollective } from "../support/mounted-collective.ts";
import { type Collective, startCollective } from "../support/process.ts";
import { programChecks } from "../support/programs.ts";

const impossible = mountingImpossible();
if (impossible !== undefined) console.log(`mount: skipped, ${impossible}`);

describe.skipIf(impossible !== undefined)("programs on a mount", () => {
  let collective: Collective;
  let mounted: MountedCollective;
  beforeAll(async () => {
    collective = await startCollective({ nodes: 2 });
    await succeed(collective, ["mkdir", "/work"]);
    mounted = await mountCollective(collective, "mnt");
  }, 60_000);
  afterAll(async () => {
    await mounted[Symbol.asyncDispose]();
    await collective[Symbol.asyncDispose]();
  });

  for (const [index, { name, needs, run }] of programChecks.entries()) {
    const missing = needs.filter((program) => Bun.which(program) === null);
    const title = missing.length === 0 ? name : `${name} (${missing.join(", ")} not installed)`;
    test.skipIf(missing.length > 0)(
      title,
      async () => {
        const [at, beside] = [join(mounted.path, "work", `${index}`), join(collective.home.path, `beside-${index}`)];
        for (const folder of [at, beside]) mkdirSync(folder);
        await run({ at, beside, large: false });
      },
      120_000,
    );
  }
});
