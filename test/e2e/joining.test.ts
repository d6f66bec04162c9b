/** Joining with the executable: from an empty home to the first byte, as a node, and at a second collective. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { coordinatorArgs, expectFailure, succeed, succeedJson, until } from "../support/e2e-commands.ts";
import { type Collective, type Environment, type Handle, run, start, startCollective } from "../support/process.ts";

async function codeOf(collective: Pick<Collective, "run">, ...args: string[]): Promise<string> {
  return (await succeed(collective, ["invite", "generate", "--quiet", ...args])).stdout.trim();
}

/** Somebody on another machine, who has the executable and nothing else. */
function newcomer(collective: Collective, name: string): { readonly env: Environment; readonly run: Collective["run"] } {
  const home = join(collective.home.path, name);
  mkdirSync(home);
  const env = { HOME: home, USER: name };
  return { env, run: (args, options) => run(args, { env, ...options }) };
}

async function readyNode(args: readonly string[], env: Environment): Promise<Handle & { readonly name: string }> {
  const handle = start(["serve", "--role", "node", "--address", "127.0.0.1:0", "--metrics-address", "off", ...args], { env });
  const [, name = ""] = await handle.waitForLine(/^ready role=node name=(\S+)/);
  return Object.assign(handle, { name });
}

describe("a friend", () => {
  test("reads the first byte two commands after getting the code, with nobody there but the coordinator", async () => {
    await using collective = await startCollective({ nodes: 2 });
    await succeed(collective, ["mkdir", "/shared"]);
    await succeed(collective, ["write", "/shared/hello"], { stdin: "hello, dora" });
    const code = await codeOf(collective, "--grant", "/shared:read+write");
    const dora = newcomer(collective, "dora");
    // The inviter's shell is closed, and nothing of its home can be of any use.
    const inviters = collective.env.COLLECTIVE_HOME ?? "";
    renameSync(inviters, `${inviters}.away`);
    const startedMs = performance.now();
    // By standard input, so that the list of processes never shows the code.
    await succeed(dora, ["invite", "redeem", "-"], { stdin: `${code}\n` });
    const { stdout } = await succeed(dora, ["read", "/shared/hello"]);
    expect(stdout).toBe("hello, dora");
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    expect(existsSync(inviters)).toBe(false);
    expect(statSync(join(dora.env.HOME ?? "", ".collective/identity/key.pem")).mode & 0o777).toBe(0o600);
    expectFailure(await newcomer(collective, "eve").run(["invite", "redeem", code]), { code: "permission_denied", says: /used up/ });
    const said = collective.coordinator.process.stderr() + collective.coordinator.process.stdout();
    for (const secret of [code, code.replaceAll("-", "")]) expect(said).not.toContain(secret);
  });

  test("belongs to two collectives with one key, and switches between them", async () => {
    await using collective = await startCollective({ nodes: 1 });
    const dataDirectory = join(collective.home.path, "garage");
    const bob = { HOME: join(collective.home.path, "bob") };
    const args = coordinatorArgs({ member: "bob@garage.collective.local", dataDirectory }).filter((arg) => arg !== "--no-context");
    await using garage = start(args, { env: bob });
    await garage.waitForLine(/^ready /);
    const dora = newcomer(collective, "dora");
    await succeed(dora, ["invite", "redeem", await codeOf(collective)]);
    const second = await succeed(dora, ["invite", "redeem", await codeOf({ run: (more) => run(more, { env: bob }) })]);
    expect(second.stdout).toContain("joined bob@garage.collective.local as dora@garage.collective.local\n");
    expect(await succeedJson(dora, ["identity", "list-collectives"])).toMatchObject([
      { name: "alice", current: true, identity: "dora@home.collective.local" },
      { name: "bob", current: false, identity: "dora@garage.collective.local" },
    ]);
    const memberOf = async (...flags: string[]) =>
      ((await succeedJson(dora, ["status", ...flags])) as { coordinator: { member: string } }).coordinator.member;
    expect([await memberOf(), await memberOf("--context", "bob")]).toEqual(["alice@home.collective.local", "bob@garage.collective.local"]);
    await succeed(dora, ["identity", "switch", "bob"]);
    expect(await memberOf()).toBe("bob@garage.collective.local");
    const folder = join(dora.env.HOME ?? "", ".collective/certificates");
    expect(readFileSync(join(folder, "alice/key.pem"), "utf8")).toBe(readFileSync(join(folder, "bob/key.pem"), "utf8"));
    expect(await garage.stop()).toBe(0);
  });

  test("is told that the collective is not there, when the coordinator is down", async () => {
    await using collective = await startCollective({ nodes: 0 });
    const code = await codeOf(collective);
    await collective.coordinator.process.stop();
    expectFailure(await newcomer(collective, "dora").run(["invite", "redeem", code]), {
      code: "unavailable",
      says: /cannot reach the collective at 127\.0\.0\.1:\d+: connection refused/,
    });
  });
});

describe("a node", () => {
  test("joins with a code and its name, and comes back without either", async () => {
    await using collective = await startCollective({ nodes: 0 });
    const code = await codeOf(collective, "--for", "node");
    const elsewhere = newcomer(collective, "elsewhere");
    const flags = ["--node-id", "node-07", "--data-dir", join(collective.home.path, "seven")];
    {
      await using node = await readyNode([...flags, "--join", code], elsewhere.env);
      expect(node.name).toBe("node-07@home.collective.local");
      await succeed(collective, ["store", "create", "media", "--replicas", "1"]);
      await succeed(collective, ["write", "/media/a"], { stdin: "a" });
      expect(await node.stop()).toBe(0);
    }
    {
      await using node = await readyNode(flags, elsewhere.env);
      await until(
        () => collective.run(["read", "/media/a"]),
        ({ stdout }) => stdout === "a",
      );
      expect(await node.stop()).toBe(0);
    }
    await using node = await readyNode(flags, { ...elsewhere.env, COLLECTIVE_JOIN: code });
    expect(node.stderr()).toContain("the invite code is not used, this node has joined already");
    expect(node.stderr()).not.toContain(code.slice(0, 11));
    expect(await node.stop()).toBe(0);
  });

  test("that cannot join says why, and does not start", async () => {
    await using collective = await startCollective({ nodes: 0 });
    const { env } = newcomer(collective, "elsewhere");
    const serve = (code: string, ...more: string[]) =>
      run(
        [
          "serve",
          "--role",
          "node",
          "--node-id",
          "n1",
          "--data-dir",
          join(env.HOME ?? "", "n1"),
          "--metrics-address",
          "off",
          ...more,
          "--join",
          code,
        ],
        {
          env: { ...env, COLLECTIVE_LOG_LEVEL: "error" },
        },
      );
    const code = await codeOf(collective, "--for", "node");
    expectFailure(await serve(`${code.slice(0, -1)}${code.endsWith("A") ? "B" : "A"}`), { code: "invalid_argument", says: /mistyped/ });
    expectFailure(await serve(await codeOf(collective)), { code: "invalid_argument", says: /this code is for a person, not for a node/ });
    expectFailure(await serve(code, "--member", "bob@garage.collective.local"), {
      code: "configuration",
      says: /the code is of home\.collective\.local, n1 is to be a node of bob@garage/,
    });
    await succeed(collective, ["invite", "revoke", code]);
    expectFailure(await serve(code), { code: "permission_denied", says: /this code was revoked/ });
  });
});

test("a bootstrap port that is in use is a clear error", async () => {
  await using collective = await startCollective({ nodes: 0 });
  const address = collective.coordinator.address;
  const args = coordinatorArgs({ dataDirectory: join(collective.home.path, "second") });
  const taken = args.map((arg, index) => (args[index - 1] === "--bootstrap-address" ? address : arg));
  const result = await run([...taken, "--log-level", "error"], { env: collective.env });
  expectFailure(result, { code: "conflict", says: /the address 127\.0\.0\.1:\d+ is in use/ });
  expect(result.stderr).toContain("--bootstrap-address");
});
