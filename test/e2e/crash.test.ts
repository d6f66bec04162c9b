/** `kill -9` at any moment: what was acknowledged stays, what was not shows nowhere, and everything starts again by itself. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { coordinatorArgs, nodeArgs, succeed } from "../support/e2e-commands.ts";
import { crashLoop } from "../support/e2e-crash.ts";
import { run, start, startCollective, temporaryHome } from "../support/process.ts";

const rounds = 8;

test(`${rounds} rounds of writes with kill -9 of the coordinator, a node or a client`, async () => {
  const seed = Number(process.env.COLLECTIVE_CRASH_SEED ?? Date.now() % 2 ** 31);
  console.log(`crash: seed ${seed}`);
  const result = await crashLoop({ seed, rounds });
  expect(result.acknowledged).toBeGreaterThan(0);
  expect(result.filesChecked).toBeGreaterThan(0);
}, 120_000);

test("a coordinator killed at any moment of its first start starts the next time", async () => {
  await using home = await temporaryHome();
  // From before it has done anything until after it is ready.
  for (let delayMs = 40; delayMs <= 280; delayMs += 30) {
    const args = coordinatorArgs({ dataDirectory: join(home.path, `data-${delayMs}`) }).filter((arg) => arg !== "--no-context");
    await using first = start(args, { env: home.env });
    await Bun.sleep(delayMs);
    await first.kill();
    await using second = start(args, { env: home.env });
    await second.waitForLine(/^ready role=coordinator /);
    expect(await run(["mkdir", "/s"], { env: home.env })).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await second.stop()).toBe(0);
  }
});

test("a node killed at any moment of its first start starts the next time, and stores", async () => {
  await using collective = await startCollective({ nodes: 0 });
  await succeed(collective, ["mkdir", "/s"]);
  for (let delayMs = 40; delayMs <= 280; delayMs += 40) {
    const args = nodeArgs(collective, { name: "node-01", dataDirectory: join(collective.home.path, `data-${delayMs}`) });
    await using first = start(args, { env: collective.env });
    await Bun.sleep(delayMs);
    await first.kill();
    await using second = start(args, { env: collective.env });
    await second.waitForLine(/^ready role=node /);
    await succeed(collective, ["write", `/s/${delayMs}`], { stdin: `content ${delayMs}` });
    expect((await succeed(collective, ["read", `/s/${delayMs}`])).stdout).toBe(`content ${delayMs}`);
    expect(await second.stop()).toBe(0);
  }
});
