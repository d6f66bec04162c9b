import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { completionShells } from "../../src/cli/completion.ts";
import { commands } from "../../src/cli/index.ts";
import { completePath } from "../../src/client/complete-path.ts";
import { ownPaths, runnerIn, startCliMember } from "../support/cli.ts";
import { expectFailure } from "../support/e2e-commands.ts";
import { testFolder } from "../support/pki.ts";

describe("completion", () => {
  test.each(completionShells)("of %s knows every command and its flags", async (shell) => {
    await using folder = await testFolder();
    const { exitCode, stdout } = await runnerIn(join(folder.path, "home"))(["completion", shell]);
    expect(exitCode).toBe(0);
    for (const [name, { section }] of Object.entries(commands))
      expect({ name, offered: stdout.includes(name) }).toEqual({ name, offered: section !== undefined });
    for (const word of ["get-contexts", "list-collectives", "max-uses", "dry-run", "min-members", "recursive"])
      expect(stdout).toContain(word);
  });

  test("offers contexts wherever one is named", async () => {
    await using folder = await testFolder();
    const { stdout } = await runnerIn(join(folder.path, "home"))(["completion", "bash"]);
    expect(stdout).toContain("'identity switch') printf %s 'contexts'");
    expect(stdout).toContain("'invite generate --context') printf %s '@contexts'");
  });

  test("of another shell is refused", async () => {
    await using folder = await testFolder();
    const run = runnerIn(join(folder.path, "home"));
    expectFailure(await run(["completion", "tcsh"]), { code: "invalid_argument", says: /"tcsh" is not one of bash, zsh, fish/ });
    expectFailure(await run(["completion"]), { code: "invalid_argument", says: /SHELL is missing/ });
  });

  test("of bash is a script that bash can read", async () => {
    await using folder = await testFolder();
    const { stdout } = await runnerIn(join(folder.path, "home"))(["completion", "bash"]);
    const checked = Bun.spawnSync(["bash", "-n"], { stdin: new TextEncoder().encode(stdout) });
    expect(checked.stderr.toString()).toBe("");
    expect(checked.exitCode).toBe(0);
  });
});

describe("paths", () => {
  test("are completed from what there is, one a line", async () => {
    await using cli = await startCliMember();
    await cli.ok(["mkdir", "-p", "/media/films/old", "/media/.hidden", "/music"]);
    await cli.putMany("/media", { "a b": "1", film: "2", "films.txt": "3", "line\nbreak": "4" });
    const cases: readonly (readonly [string, readonly string[]])[] = [
      ["", ["/media/", "/music/"]],
      ["/", ["/media/", "/music/"]],
      ["/me", ["/media/"]],
      ["/media", ["/media/"]],
      ["/media/film", ["/media/film", "/media/films/", "/media/films.txt"]],
      ["/media/films/", ["/media/films/old/"]],
      ["/media/a", ["/media/a b"]],
      ["/media/line", []],
      ["/media/.", ["/media/.hidden/"]],
      ["/media/..", []],
      ["/media/film/", []],
      ["/nope/x", []],
      ["relative", []],
      ["/@nobody/x", []],
    ];
    for (const [prefix, expected] of cases)
      expect({ prefix, found: await completePath(ownPaths(cli.remote), prefix) }).toEqual({ prefix, found: [...expected] });
    expect(await cli.ok(["ls", "--completion", "/media/film"])).toBe("/media/film\n/media/films/\n/media/films.txt\n");
    expect(await cli.ok(["ls", "--completion", ""])).toBe("/media/\n/music/\n");
  });
});
