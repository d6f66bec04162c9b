/** No secret shows in what processes print or are told, at the loudest level of all of them. */
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatInviteCode } from "../../protocol/invite.ts";
import { succeed, until } from "../support/e2e-commands.ts";
import { bytesOf } from "../support/e2e-files.ts";
import { type Collective, type Environment, run, start, startCollective, temporaryHome } from "../support/process.ts";
import { inviteCode, leaksIn, secretBytes, secretsBelow } from "../support/secrets.ts";
import { searchedSoFar } from "../support/transcripts.ts";

const mebibyte = 1024 * 1024;

test("after commands of every kind, those that fail too, with the stack of every error", async () => {
  const before = { ...searchedSoFar() };
  const env = { COLLECTIVE_DEBUG: "1" };
  {
    await using collective = await startCollective({ nodeFlags: ["--log-format", "json"], env });
    await useEverything(collective);
    await provoke(collective);
    await joinAndShare(collective, env);
    const services = [...collective.nodes, collective.coordinator];
    await Promise.all(services.map(({ process }) => process.stop()));
    const secrets = secretsBelow(collective.home.path).map(({ what }) => what);
    // Of the authority, the coordinator, four nodes, the administrator, dora, and erin's own, in a context and in files; of one datastore.
    expect(secrets.filter((what) => what.startsWith("the private key")).length).toBeGreaterThanOrEqual(11);
    expect(secrets.filter((what) => what.startsWith("the key of datastore")).length).toBeGreaterThanOrEqual(1);
    expect(collective.coordinator.process.stderr()).toContain(" debug ");
    // The end of the home is what searches.
  }
  expect(searchedSoFar().transcripts - before.transcripts).toBeGreaterThan(40);
  expect(searchedSoFar().secrets - before.secrets).toBeGreaterThan(15);
});

test("a secret that was said in the life of its home fails the test", async () => {
  const home = await temporaryHome();
  const { exitCode } = await run(["auth", "init", "--member", "alice@home.collective.local", "--data-dir", home.path], home);
  expect(exitCode).toBe(0);
  const [key] = secretsBelow(home.path);
  if (key === undefined) throw new Error("no key was made");
  await run(["ls", key.forms[0] ?? ""], home);
  expect(home[Symbol.asyncDispose]()).rejects.toThrow(`${key.what} in its arguments`);
});

test("what does show is found, however it is written", () => {
  const secret = secretBytes("the key", bytesOf("key", 32));
  const said = (text: string) => leaksIn([{ args: ["ls"], stdout: () => "", stderr: () => text }], [secret]);
  for (const form of secret.forms) expect(said(`error: ${form}!`)).toEqual(["ls: the key in its stderr"]);
  expect(said("a chunk 0123456789abcdef".repeat(5))).toEqual([]);
  expect(said(`ticket ${Buffer.from(bytesOf("ticket", 200)).toString("base64url")}`)).toEqual([
    "ls: something as long as a ticket in its stderr",
  ]);
  const code = formatInviteCode({
    kind: "person",
    authorityPin: bytesOf("pin", 16),
    secret: bytesOf("secret", 16),
    addresses: [{ host: "nas.home", port: 8002 }],
  });
  const invite = inviteCode("the code", code);
  for (const form of [code, code.replaceAll("-", ""), code.replaceAll("-", " "), ...invite.forms]) {
    const transcript = { stdout: () => form, stderr: () => form };
    expect(leaksIn([{ ...transcript, args: ["invite", "list"] }], [invite])).toEqual([
      "invite list: the code in its stdout",
      "invite list: the code in its stderr",
    ]);
    expect(leaksIn([{ ...transcript, args: ["invite", "generate"] }], [invite])).toEqual(["invite generate: the code in its stderr"]);
  }
  const told = leaksIn([{ args: ["invite", secret.forms[0] ?? ""], stdout: () => "", stderr: () => "" }], [secret]);
  expect(told).toHaveLength(1);
});

async function useEverything(collective: Collective): Promise<void> {
  const { path } = collective.home;
  const tree = join(path, "tree");
  mkdirSync(tree);
  for (let i = 0; i < 20; i++) writeFileSync(join(tree, `${i}`), bytesOf(`small ${i}`, 1_000 * i));
  writeFileSync(join(tree, "large"), bytesOf("large", 9 * mebibyte));
  const dora = join(path, "dora");
  const files = ["--ca-cert", join(dora, "ca.pem"), "--cert", join(dora, "cert.pem"), "--key", join(dora, "key.pem")];
  const context = ["--member", "alice@home.collective.local", "--coordinator", collective.coordinator.address];
  const commands: readonly (readonly string[])[] = [
    ["store", "create", "media", "--replicas", "2", "--json"],
    ["put", "-r", tree, "/media"],
    ["mkdir", "-p", "/media/a/b"],
    ["ls", "-l", "-R", "/", "--json"],
    ["stat", "/media/tree/large", "--json"],
    ["stat", "/media/tree/large"],
    ["cp", "-r", "/media/tree", "/media/copy"],
    ["mv", "/media/copy/1", "/media/moved"],
    ["read", "/media/moved"],
    ["get", "-r", "/media/tree", join(path, "fetched")],
    ["verify", "-r", "/media", "--json"],
    ["du", "/media"],
    ["df", "--json"],
    ["status", "--json"],
    ["status"],
    ["store", "list", "--json"],
    ["store", "show", "media"],
    ["store", "set", "media", "--quota", "1TB"],
    ["auth", "cert", "--kind", "user", "--name", "dora", "--output", dora, "--json"],
    ["init", "--name", "dora", ...context, ...files],
    ["auth", "info", dora],
    ["auth", "renew", "--json"],
    ["auth", "log", "--json"],
    ["config", "get-contexts", "--json"],
    ["config", "show-context", "alice"],
    ["rm", "-r", "/media/copy"],
  ];
  for (const args of commands) {
    const { exitCode, stderr } = await collective.run(args);
    expect(`${args.join(" ")}: ${exitCode === 0 ? "" : stderr}`).toBe(`${args.join(" ")}: `);
  }
}

/** Invites of all kinds, made, used, taken back and mistyped; rights, identities and certificates. */
async function joinAndShare(collective: Collective, debug: Environment): Promise<void> {
  const erinsHome = join(collective.home.path, "erin");
  mkdirSync(erinsHome);
  const erin = { ...debug, HOME: erinsHome, USER: "erin" };
  const codeFrom = async (...flags: string[]): Promise<string> => {
    const { stdout } = await succeed(collective, ["invite", "generate", ...flags]);
    const [code = ""] = /[0-9A-Z]{5}(-[0-9A-Z]{1,5}){8,}/.exec(stdout) ?? [];
    return code;
  };
  const asErin = (args: readonly string[], stdin?: string) => run(args, { env: erin, stdin });
  const succeedAsErin = async (args: readonly string[], stdin?: string): Promise<void> => {
    const { exitCode, stderr } = await asErin(args, stdin);
    if (exitCode !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
  };
  const forErin = await codeFrom("--grant", "/media/a:read+write", "--json");
  const mistyped = `${forErin.slice(0, -1)}${forErin.endsWith("A") ? "B" : "A"}`;
  for (const wrong of [mistyped, forErin.slice(0, 40), `${forErin} ${forErin}`]) {
    expect((await asErin(["invite", "redeem", "-"], wrong)).exitCode).toBe(2);
  }
  await succeedAsErin(["invite", "redeem", "-", "--json"], `${forErin}\n`);
  const files = ["ca", "cert", "key"].flatMap((name) => [`--${name}`, join(erinsHome, `${name}.pem`)]);
  await succeedAsErin(["invite", "redeem", "-", "--as", "erin", ...files], await codeFrom("--name", "erin", "--quiet"));
  expect((await run(["invite", "redeem", "-"], { env: { ...erin, HOME: join(erinsHome, "other") }, stdin: forErin })).exitCode).toBe(4);
  const revoked = await codeFrom("--description", "taken back", "--max-uses", "3");
  await succeed(collective, ["invite", "revoke", "-", "--json"], { stdin: revoked });
  expect((await asErin(["invite", "redeem", "-", "--name", "again"], revoked)).exitCode).toBe(4);
  for (const flag of ["--json", "--no-color"]) await succeed(collective, ["invite", "list", flag]);

  const dataDirectory = join(collective.home.path, "joined-node");
  const places = ["--node-id", "node-09", "--data-dir", dataDirectory, "--address", "127.0.0.1:0", "--metrics-address", "off"];
  const join9 = await codeFrom("--for", "node");
  await using node = start(["serve", "--role", "node", ...places], { env: { ...erin, COLLECTIVE_JOIN: join9 } });
  await node.waitForLine(/^ready /);

  const subject = "erin@home.collective.local";
  await succeed(collective, ["access", "grant", "/media/tree", subject, "--rights", "read+share", "--expires", "1h", "--json"]);
  for (const args of [
    ["get", "/media/tree/large", join(erinsHome, "large")],
    ["access", "grant", "/media/tree", "fred@home.collective.local", "--rights", "read"],
    ["access", "list", "--json"],
    ["access", "revoke", "/media/tree", "fred@home.collective.local"],
    ["identity", "show", "--json"],
    ["identity", "show"],
    ["identity", "list-collectives", "--json"],
    ["identity", "switch", "alice"],
    ["auth", "info", "--json"],
    ["auth", "renew"],
    ["config", "show-context", "alice"],
  ])
    await succeedAsErin(args);
  expect((await asErin(["identity", "init", "--global-id", subject])).exitCode).toBe(6);
  await succeed(collective, ["access", "list"]);
  await succeed(collective, ["access", "revoke", "/media/tree", subject]);
  expect((await asErin(["read", "/media/tree/large"])).exitCode).toBe(3);
  await succeed(collective, ["auth", "revoke", "erin", "--json"]);
  expect((await asErin(["auth", "renew"])).exitCode).toBe(4);
  await succeed(collective, ["auth", "log", "--limit", "50"]);
  await succeed(collective, ["auth", "revoke", "node-09"]);
  expect(await node.stop()).toBe(0);
}

/** Errors of every layer, each with its stack. */
async function provoke(collective: Collective): Promise<void> {
  const { path } = collective.home;
  const alice = join(collective.env.COLLECTIVE_HOME ?? "", "certificates", "alice");
  const key = readFileSync(join(alice, "key.pem"), "utf8");
  const failing: readonly (readonly string[])[] = [
    ["read", "/media/nothing"],
    ["nonsense"],
    ["ls", "--nonsense"],
    ["status", "--coordinator", "127.0.0.1:1"],
    ["auth", "info", join(alice, "key.pem")],
    ["auth", "cert", "--kind", "user", "--name", "x", "--data-dir", path],
    ["init", "--name", "x", "--coordinator", "127.0.0.1:1", "--member", "bob", "--ca-cert", join(alice, "key.pem")],
    ["auth", "revoke", "alice"],
  ];
  for (const args of failing) expect((await collective.run(args)).exitCode, args.join(" ")).not.toBe(0);
  expect((await collective.run(["auth", "revoke", "dora"])).exitCode).toBe(0);
  expect((await collective.run(["ls", "/", "--context", "dora"])).exitCode).toBe(4);
  // A copy that is damaged and a node that is gone, in the middle of reading.
  await collective.service("node-01").process.kill();
  await collective.run(["read", "/media/tree/large"]);
  await collective.restart("node-01");
  await until(
    async () => (await collective.run(["status", "--json"])).stdout,
    (text) => !text.includes('"suspect"') && !text.includes('"dead"'),
  );
  // A key that cannot be read, beside the certificate that it belongs to.
  writeFileSync(join(alice, "key.pem"), key.replace("-----END", "x-----END"));
  expect((await collective.run(["ls", "/"])).exitCode).not.toBe(0);
  writeFileSync(join(alice, "key.pem"), key);
}
