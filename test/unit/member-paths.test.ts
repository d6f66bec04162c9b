/** Paths at another member: what every command that takes a path does with one, and what a shell completes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { commands } from "../../src/cli/index.ts";
import type { CliMember } from "../support/cli.ts";
import { type CliMembers, startCliMembers } from "../support/cli-members.ts";
import { expectFailure, until } from "../support/e2e-commands.ts";
import { alice, bob } from "../support/pki.ts";

let started: CliMembers;
let here: CliMember;
let there: CliMember;

beforeAll(async () => {
  started = await startCliMembers([alice, bob]);
  const [home, garage] = started.members;
  if (!home || !garage) throw new Error("the members have not started");
  [here, there] = [home, garage];
  await there.ok(["mkdir", "-p", "/films/old", "/closed"]);
  await there.put("/films/film", "film");
  await there.ok(["access", "grant", "/films", alice, "--rights", "read+write+delete+share"]);
  await here.ok(["mkdir", "-p", "/own"]);
  await here.put("/own/file", "own");
  writeFileSync(join(here.dir, "local"), "local");
});
afterAll(() => started[Symbol.asyncDispose]());

const at = (path: string): string => `/@${bob}${path}`;
const local = (name: string): string => join(here.dir, name);

interface Row {
  readonly args: () => readonly string[];
  /** What is so at the other member when it was done. */
  readonly holds?: () => Promise<unknown>;
  readonly refused?: Parameters<typeof expectFailure>[1];
}

const exists = (path: string) => () => there.ok(["stat", path]);
const isGone = (path: string) => async () => expectFailure(await there.run(["stat", path]), { code: "not_found", says: /does not exist/ });

const rows: Readonly<Record<string, readonly Row[] | string>> = {
  mkdir: [
    { args: () => ["mkdir", at("/films/new")], holds: exists("/films/new") },
    { args: () => ["mkdir", "-p", at("/films/a/b/c")], holds: exists("/films/a/b/c") },
    { args: () => ["mkdir", at("/store")], refused: { code: "permission_denied", says: /only bob@/ } },
  ],
  ls: [
    { args: () => ["ls", "-lR", at("/films")] },
    { args: () => ["ls", at("/")] },
    { args: () => ["ls", at("/closed")], refused: { code: "not_found", says: /does not exist/ } },
    { args: () => ["ls", "/@nobody@nowhere.collective.local/"], refused: { code: "not_found", says: /is no peer of alice@/ } },
    { args: () => ["ls", "/@no body/x"], refused: { code: "invalid_argument", says: /no body/ } },
  ],
  write: "takes standard input: test/e2e/federation.test.ts",
  read: [{ args: () => ["read", at("/films/film")] }],
  put: [{ args: () => ["put", local("local"), at("/films/put")], holds: exists("/films/put") }],
  get: [{ args: () => ["get", at("/films/film"), local("got")] }, { args: () => ["get", at("/films/film"), "/own/file", here.dir] }],
  rm: [{ args: () => ["rm", "-r", at("/films/a")], holds: isGone("/films/a") }],
  mv: [{ args: () => ["mv", at("/films/put"), "/own"], holds: isGone("/films/put") }],
  cp: [{ args: () => ["cp", "/own/put", at("/films/copy")], holds: exists("/films/copy") }],
  stat: [{ args: () => ["stat", at("/films/film")] }],
  du: [{ args: () => ["du", at("/films")] }],
  verify: [{ args: () => ["verify", "-r", at("/films")] }],
  "client store": [{ args: () => ["client", "store", "--file", local("local"), "--id", at("/films/s")], holds: exists("/films/s") }],
  "client retrieve": [{ args: () => ["client", "retrieve", "--id", at("/films/film"), "--output", local("r")] }],
  "access grant": [{ args: () => ["access", "grant", at("/films/old"), "x@y.collective.local", "--rights", "read"] }],
  "access list": [{ args: () => ["access", "list", at("/films")] }],
  "access revoke": [{ args: () => ["access", "revoke", at("/films/old"), "x@y.collective.local"] }],
  "invite generate": [
    {
      args: () => ["invite", "generate", "--grant", `${at("/films")}:read`],
      refused: { code: "unsupported", says: /own paths, bob@\S+ is another member/ },
    },
  ],
  ...Object.fromEntries(
    ["create", "show", "set", "remove"].map((verb) => [
      `store ${verb}`,
      [
        {
          args: () => ["store", verb, at("/films"), ...(verb === "set" ? ["--quota", "1GB"] : [])],
          refused: { code: "unsupported", says: /datastores are set up at their own member/ },
        },
      ],
    ]),
  ),
};
/** Their paths stand in flags, or are names of datastores. */
const besides = ["client store", "client retrieve", "invite generate", "store create", "store show", "store set", "store remove"];

test("the table has every command that takes a path", async () => {
  const taking = [];
  for (const [name, { load }] of Object.entries(commands)) {
    const loaded = await load();
    const all = "commands" in loaded ? loaded.commands.map((each) => ({ ...each, name: `${name} ${each.name}` })) : [{ ...loaded, name }];
    taking.push(...all.filter(({ positionals = [] }) => positionals.some(({ isPath }) => isPath)).map((each) => each.name));
  }
  expect(Object.keys(rows).sort()).toEqual([...taking, ...besides].sort());
});

for (const [name, cases] of Object.entries(rows)) {
  if (typeof cases === "string") continue;
  test(name, async () => {
    for (const { args, holds, refused } of cases) {
      const result = await here.run(args());
      if (refused) expectFailure(result, refused);
      else expect({ args: args(), code: result.exitCode, stderr: result.stderr }).toMatchObject({ code: 0 });
      await holds?.();
    }
  });
}

describe("completion", () => {
  test("offers the members that share with me, then their stores, then what is below", async () => {
    for (const { member } of started.members) member.service.federation.start();
    await until(
      () => here.ok(["ls", "--completion", "/@b"]),
      (offered) => offered !== "",
    );
    for (const [prefix, offered] of [
      ["/", `/own/\n${at("/")}\n`],
      [at(""), `${at("/")}\n`],
      [at("/"), `${at("/films/")}\n`],
      [at("/f"), `${at("/films/")}\n`],
      [at("/films/f"), `${at("/films/film")}\n`],
      [at("/films/o"), `${at("/films/old/")}\n`],
      [at("/closed/"), ""],
      ["/@nobody@nowhere.collective.local/", ""],
      ["/o", "/own/\n"],
    ] as const)
      expect({ prefix, offered: await here.ok(["ls", "--completion", prefix]) }).toEqual({ prefix, offered });
  });

  test("offers nothing, and says nothing, when nobody answers", async () => {
    const away = { COLLECTIVE_COORDINATOR_ADDRESS: "127.0.0.1:1" };
    expect(await here.run(["ls", "--completion", "/"], away)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });
});
