/** `kill -9` at any moment: what was acknowledged stays, what was not shows nowhere, and everything starts again by itself. */
import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { coordinatorArgs, nodeArgs, succeed, until } from "../support/e2e-commands.ts";
import { crashLoop } from "../support/e2e-crash.ts";
import { bytesOf, describeTree } from "../support/e2e-files.ts";
import { run, start, startCollective, temporaryHome } from "../support/process.ts";

const rounds = 8;

test(`${rounds} rounds of writes with kill -9 of the coordinator, a node or a client`, async () => {
  const seed = Number(process.env.COLLECTIVE_CRASH_SEED ?? Date.now() % 2 ** 31);
  console.log(`crash: seed ${seed}`);
  const result = await crashLoop({ seed, rounds });
  expect(result.acknowledged).toBeGreaterThan(0);
  expect(result.filesChecked).toBeGreaterThan(0);
}, 120_000);

test("put goes on, and publishes everything once, however often its coordinator is killed and started again", async () => {
  await using collective = await startCollective();
  await succeed(collective, ["mkdir", "/s"]);
  const local = join(collective.home.path, "local");
  // Enough commits that each kill meets some of them.
  for (let directory = 0; directory < 25; directory++) {
    mkdirSync(join(local, String(directory)), { recursive: true });
    for (let index = 0; index < 100; index++) {
      writeFileSync(join(local, String(directory), String(index)), bytesOf(`${directory} ${index}`, 1 + ((directory * index) % 9_000)));
    }
  }
  const filesStored = async (): Promise<number> => {
    const { exitCode, stdout } = await collective.run(["status", "--json"]);
    return exitCode === 0 ? (JSON.parse(stdout) as { totals: { files: number } }).totals.files : 0;
  };
  for (let round = 0; round < 2; round++) {
    const put = collective.start(["put", "-r", local, `/s/tree-${round}`]);
    const filesBefore = round * 2_500;
    let running = true;
    void put.exited.then(() => {
      running = false;
    });
    await until(filesStored, (files) => !running || files > filesBefore);
    let kills = 0;
    for (; running && kills < 4; kills++) {
      await collective.coordinator.process.kill();
      await collective.restart("coordinator");
    }
    expect(kills).toBeGreaterThan(0);
    expect(`${await put.exited} ${put.stderr()}`).toBe("0 ");
    const fetched = join(collective.home.path, `fetched-${round}`);
    await succeed(collective, ["get", "-r", `/s/tree-${round}`, fetched]);
    expect(describeTree(fetched)).toEqual(describeTree(local));
    const { stdout } = await succeed(collective, ["stat", "--json", `/s/tree-${round}/24/99`]);
    expect(JSON.parse(stdout)).toMatchObject({ version: 1 });
  }
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
    const args = nodeArgs(collective, { name: `node-${delayMs}`, dataDirectory: join(collective.home.path, `data-${delayMs}`) });
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
