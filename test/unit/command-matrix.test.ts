/** Every command × every kind of caller, by its exit code and code. The table is in test/support/command-rows.ts. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ErrorCode, exitCodeOf } from "../../protocol/errors.ts";
import { commands } from "../../src/cli/index.ts";
import { openContexts } from "../../src/client/context-file.ts";
import { saveCredentials } from "../../src/pki/credentials.ts";
import { runnerIn } from "../support/cli.ts";
import { type CommandCase, type CommandWorld, commandRows } from "../support/command-rows.ts";
import { type TestFolder, testFolder } from "../support/pki.ts";
import { machines } from "../support/rights-rows.ts";
import { type CallerKind, callerKinds, callers, startRightsWorld } from "../support/rights-world.ts";

let folder: TestFolder;
let world: CommandWorld;
beforeAll(async () => {
  folder = await testFolder();
  world = { ...(await startRightsWorld()), dir: folder.path };
  await writeFile(join(folder.path, "file"), "content");
  for (const kind of callerKinds) await makeHome(kind);
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function homeOf(kind: CallerKind): string {
  return join(folder.path, "homes", kind);
}

async function makeHome(kind: CallerKind): Promise<void> {
  const { member, address, authority, clock } = world.member;
  const contexts = openContexts(homeOf(kind));
  const { name } = callers[kind].identity;
  const trustedAuthorityPems = name.endsWith("@home.collective.local") ? [] : [authority.certificatePem];
  await saveCredentials(contexts.credentials("home").folder, { ...world.credentials[kind], trustedAuthorityPems });
  await contexts.put("home", { member, coordinator: address, identity: name, created: new Date(clock.wallMs()).toISOString() });
}

test("has a row for every command, and no other", async () => {
  const names = [];
  for (const [name, { load }] of Object.entries(commands)) {
    const loaded = await load();
    names.push(...("commands" in loaded ? loaded.commands.map((command) => `${name} ${command.name}`) : [name]));
  }
  expect(Object.keys(commandRows).sort()).toEqual(names.sort());
});

for (const [name, cases] of Object.entries(commandRows)) {
  if (typeof cases === "string") continue;
  test(name, async () => {
    for (const one of cases) {
      const outcomes: [CallerKind, string][] = [];
      let args: readonly string[] = [];
      for (const kind of callerKinds) {
        args = await one.args(world);
        outcomes.push([kind, await outcomeOf(kind, args)]);
      }
      const wanted = callerKinds.map((kind) => [kind, expected(one, kind)]);
      expect({ command: args.join(" "), ...Object.fromEntries(outcomes) }).toEqual({
        command: args.join(" "),
        ...Object.fromEntries(wanted),
      });
    }
  });
}

async function outcomeOf(kind: CallerKind, args: readonly string[]): Promise<string> {
  const { exitCode, stderr } = await runnerIn(homeOf(kind))(args);
  const code = /^collective: .* \(([a-z_]+)\)$/m.exec(stderr)?.[1];
  return `${exitCode} ${code ?? "ok"}`;
}

function expected({ ok, denied = [] }: CommandCase, kind: CallerKind): string {
  if (ok.includes(kind)) return "0 ok";
  return failed(
    kind === "revoked person" ? "not_authenticated" : denied.includes(kind) || machines.includes(kind) ? "permission_denied" : "not_found",
  );
}

function failed(code: ErrorCode): string {
  return `${exitCodeOf[code]} ${code}`;
}
