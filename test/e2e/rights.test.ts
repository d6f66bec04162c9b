/** A collective as a guest sees it: somebody with a certificate and a grant, and nothing more. */
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fail, listing, succeed, succeedJson, until } from "../support/e2e-commands.ts";
import { guestOf } from "../support/e2e-guest.ts";
import { type Collective, startCollective } from "../support/process.ts";

const dora = "dora@home.collective.local";

async function startShared(): Promise<Collective> {
  const collective = await startCollective({ nodes: 2 });
  for (const path of ["/shared/open/sub", "/shared/closed", "/private"]) await succeed(collective, ["mkdir", "-p", path]);
  for (const path of ["/shared/open/file", "/shared/closed/secret", "/private/secret"]) {
    await succeed(collective, ["write", path], { stdin: `content of ${path}` });
  }
  return collective;
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

describe("a guest", () => {
  test("without a grant sees an empty collective, and is refused in words", async () => {
    await using collective = await startShared();
    const guest = await guestOf(collective);
    const before = await listing(collective);
    for (const command of [
      ["ls", "/"],
      ["ls", "-R", "/"],
    ])
      expect((await succeed(guest, command)).stdout).toBe("");
    for (const command of [
      ["store", "list"],
      ["access", "list"],
    ])
      expect(await succeedJson(guest, command)).toEqual([]);
    expect(await succeedJson(guest, ["df"])).toMatchObject({ stores: [] });
    await succeed(guest, ["status"]);
    for (const path of ["/shared", "/shared/open", "/shared/closed/secret", "/private/secret"]) {
      for (const command of [["ls"], ["stat"], ["du"], ["read"], ["rm", "-r"]]) {
        await fail(guest, [...command, path], { code: "not_found", says: /does not exist/ });
      }
    }
    const onlyAlice = { code: "permission_denied", says: /only alice@home\.collective\.local may/ } as const;
    await fail(guest, ["mkdir", "/mine"], onlyAlice);
    await fail(guest, ["store", "create", "mine"], onlyAlice);
    await fail(guest, ["store", "set", "shared", "--replicas", "1"], onlyAlice);
    await fail(guest, ["store", "remove", "shared"], onlyAlice);
    await fail(guest, ["auth", "cert", "--kind", "user", "--name", "eve", "--output", join(collective.home.path, "eve")], onlyAlice);
    await fail(guest, ["du", "/"], { code: "permission_denied", says: /only alice/ });
    expect(await listing(collective)).toBe(before);
  });

  test("who may read sees the way there, and reads; more is permission_denied with what to do", async () => {
    await using collective = await startShared();
    const guest = await guestOf(collective);
    expect((await succeed(collective, ["access", "grant", "/shared/open", dora, "--rights", "read", "--expires", "30d"])).stdout).toMatch(
      /^dora@home\.collective\.local may read \/shared\/open until \d{4}-/,
    );
    expect(lines((await succeed(guest, ["ls", "-R", "/"])).stdout)).toEqual(
      ["shared/", "shared/open/", "shared/open/file", "shared/open/sub/"].map((path) =>
        expect.stringContaining(path.split("/").at(path.endsWith("/") ? -2 : -1) ?? ""),
      ),
    );
    expect((await succeed(guest, ["read", "/shared/open/file"])).stdout).toBe("content of /shared/open/file");
    const folder = join(collective.home.path, "fetched");
    await succeed(guest, ["get", "-r", "/shared/open", folder]);
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("content of /shared/open/file");
    expect(await succeedJson(guest, ["stat", "/shared/open/file"])).toMatchObject({ store: "shared", size: 28 });
    expect((await succeed(guest, ["stat", "/shared/open/file"])).stdout).toContain("2 of 2 alive");
    expect((await succeed(guest, ["stat", "/shared"])).stdout).toContain("directory");
    expect(await succeedJson(guest, ["du", "/shared/open"])).toMatchObject({ files: 1 });
    expect(await succeedJson(guest, ["verify", "-r", "/shared/open"])).toMatchObject({ files: 1, bad: 0, missing: 0 });
    expect(await succeedJson(guest, ["store", "show", "shared"])).toMatchObject({ name: "shared", files: null, size: null });
    expect((await succeed(guest, ["store", "list"])).stdout).toMatch(/^shared .* - /m);
    expect((await succeed(guest, ["df"])).stdout).toContain("shared");
    expect(lines((await succeed(guest, ["ls", "--completion", "/"])).stdout)).toEqual(["/shared/"]);
    expect(await succeedJson(guest, ["access", "list"])).toMatchObject([
      { path: "/shared/open", subject: dora, rights: ["read"], in_force: ["read"], granted_by: "alice@home.collective.local" },
    ]);

    await fail(guest, ["read", "/shared/closed/secret"], { code: "not_found", says: /\/shared\/closed does not exist/ });
    await fail(guest, ["du", "/shared"], { code: "permission_denied", says: /has not been granted read on \/shared/ });
    const local = join(collective.home.path, "local");
    writeFileSync(local, "mine");
    const write = { code: "permission_denied", says: /has not been granted write/ } as const;
    await fail(guest, ["put", local, "/shared/open/new"], write);
    await fail(guest, ["write", "/shared/open/new"], write, { stdin: "mine" });
    await fail(guest, ["mkdir", "/shared/open/new"], write);
    await fail(guest, ["cp", "/shared/open/file", "/shared/open/copy"], write);
    await fail(guest, ["mv", "/shared/open/file", "/shared/open/moved"], write);
    await fail(guest, ["rm", "/shared/open/file"], { code: "permission_denied", says: /has not been granted delete on \/shared\/open/ });
    await fail(guest, ["access", "grant", "/shared/open", "eve@home.collective.local", "--rights", "read"], {
      code: "permission_denied",
      says: /has not been granted share/,
    });
    const { stderr } = await guest.run(["mkdir", "/shared/open/new"]);
    expect(stderr).toContain(`collective access grant /shared/open ${dora} --rights write`);
  });

  test("who may only write somewhere is told at the end of a listing what it could not list", async () => {
    await using collective = await startShared();
    const guest = await guestOf(collective);
    await succeed(collective, ["access", "grant", "/shared/closed", dora, "--rights", "write"]);
    await succeed(collective, ["access", "grant", "/shared/open", dora, "--rights", "read"]);
    for (const flag of ["--no-color", "--json", "-l"]) {
      const { exitCode, stdout, stderr } = await guest.run(["ls", "-R", flag, "/"]);
      expect(exitCode).toBe(4);
      expect(stdout).toContain("shared/closed");
      expect(stdout).toContain("shared/open/file");
      expect(stdout).not.toContain("secret");
      expect(lines(stderr)).toEqual([
        `not listed: ${dora} has not been granted read on /shared/closed`,
        "collective: ls: 1 directory could not be listed (permission_denied)",
      ]);
    }
    await fail(guest, ["ls", "-R", "/shared/closed"], { code: "permission_denied", says: /has not been granted read on \/shared\/closed/ });
  });

  test("who may write makes and changes files, who may delete removes them, and nobody else's", async () => {
    await using collective = await startShared();
    const guest = await guestOf(collective);
    await succeed(collective, ["access", "grant", "/shared/open", dora, "--rights", "read+write"]);
    await succeed(guest, ["mkdir", "-p", "/shared/open/a/b"]);
    await succeed(guest, ["write", "/shared/open/a/b/file"], { stdin: "mine" });
    await succeed(guest, ["write", "/shared/open/file"], { stdin: "changed" });
    const tree = join(collective.home.path, "fetched");
    await succeed(guest, ["get", "-r", "/shared/open", tree]);
    await succeed(guest, ["put", "-r", tree, "/shared/open/again"]);
    await succeed(guest, ["cp", "-r", "/shared/open/a", "/shared/open/copy"]);
    await succeed(guest, ["mv", "/shared/open/copy", "/shared/open/moved"]);
    expect((await succeed(collective, ["read", "/shared/open/moved/b/file"])).stdout).toBe("mine");
    expect(await succeedJson(collective, ["stat", "/shared/open/again/file"])).toMatchObject({ owner: dora });
    await fail(guest, ["mv", "/shared/open/file", "/shared/open/a/file"], { code: "permission_denied", says: /delete/ });
    await fail(guest, ["rm", "/shared/open/file"], { code: "permission_denied", says: /delete/ });
    await succeed(collective, ["access", "grant", "/shared/open", dora, "--rights", "read+write+delete"]);
    await succeed(guest, ["mv", "/shared/open/file", "/shared/open/a/file"]);
    await succeed(guest, ["rm", "-r", "/shared/open/a"]);
    await fail(guest, ["rm", "-r", "/shared/open"], { code: "permission_denied", says: /delete on \/shared/ });
    await fail(guest, ["cp", "/shared/closed/secret", "/shared/open/stolen"], { code: "not_found", says: /does not exist/ });
    expect((await succeed(collective, ["read", "/shared/closed/secret"])).stdout).toBe("content of /shared/closed/secret");
  });

  test("passes on what she has, and loses it for all when it is revoked", async () => {
    await using collective = await startShared();
    const [guest, friend] = [await guestOf(collective), await guestOf(collective, "eve")];
    const eve = "eve@home.collective.local";
    await succeed(collective, ["access", "grant", "/shared/open", dora, "--rights", "read+share"]);
    await succeed(guest, ["access", "grant", "/shared/open/sub", eve, "--rights", "read"]);
    await succeed(guest, ["access", "grant", "/shared/open", eve, "--rights", "read"]);
    await fail(guest, ["access", "grant", "/shared/open", eve, "--rights", "read+write"], { code: "permission_denied", says: /write/ });
    expect((await succeed(friend, ["read", "/shared/open/file"])).stdout).toBe("content of /shared/open/file");
    expect((await succeed(guest, ["access", "list", "/shared/open"])).stdout).toContain("/shared/open/sub");
    await fail(guest, ["access", "revoke", "/shared/open", dora], {
      code: "permission_denied",
      says: /alice@home\.collective\.local granted it/,
    });
    await succeed(guest, ["access", "revoke", "/shared/open/sub", eve]);
    await succeed(collective, ["access", "revoke", "/shared/open", dora]);
    for (const person of [guest, friend]) expect((await succeed(person, ["ls", "/"])).stdout).toBe("");
    expect(await succeedJson(collective, ["access", "list"])).toMatchObject([{ subject: eve, in_force: [] }]);
    expect((await succeed(collective, ["access", "list"])).stdout).toMatch(/eve@home.* no$/m);
    await fail(collective, ["access", "revoke", "/shared/open", dora], { code: "not_found", says: /nothing there is granted to dora/ });
  });

  test("has what was granted for as long as it was", async () => {
    await using collective = await startShared();
    const guest = await guestOf(collective);
    await succeed(collective, ["access", "grant", "/shared/open", "*@home.collective.local", "--rights", "read", "--expires", "6s"]);
    expect((await succeed(guest, ["ls", "/shared/open"])).stdout).toContain("file");
    await until(
      async () => (await guest.run(["ls", "/shared/open"])).exitCode,
      (exitCode) => exitCode === 3,
    );
    expect((await succeed(collective, ["access", "list"])).stdout).toMatch(/ended$/m);
  });

  test("is told what is wrong with a command about rights", async () => {
    await using collective = await startShared();
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [["/shared", dora], /--rights is missing/],
      [["/shared", dora, "--rights", "read,write"], /"read,write" is not a right/],
      [["/shared", dora, "--rights", "read", "--expires", "soon"], /soon/],
      [["/shared", "*", "--rights", "read"], /everybody/],
      [["/shared", "Dora@home", "--rights", "read"], /cannot be a name/],
      [["/", dora, "--rights", "read"], /not on the root/],
    ];
    for (const [args, says] of wrong) await fail(collective, ["access", "grant", ...args], { code: "invalid_argument", says });
    await fail(collective, ["access", "grant", "/shared/open/file", dora, "--rights", "read"], {
      code: "not_a_directory",
      says: /not a directory/,
    });
    await fail(collective, ["access", "grant", "/nothing", dora, "--rights", "read"], { code: "not_found", says: /\/nothing/ });
  });
});
