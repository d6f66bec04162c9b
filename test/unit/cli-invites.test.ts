/** `identity` and `invite` as a person types them. */
import { describe, expect, test } from "bun:test";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { formatInviteCode, parseInviteCode } from "../../protocol/invite.ts";
import { renderQr } from "../../src/cli/output/qr.ts";
import { describeTerminal } from "../../src/cli/output/terminal.ts";
import { loginLocalName } from "../../src/client/redeem.ts";
import { type CliMember, type CliResult, type Run, runnerIn, startCliMember } from "../support/cli.ts";
import { expectFailure } from "../support/e2e-commands.ts";
import { altered } from "../support/joining.ts";
import { testFolder } from "../support/pki.ts";

const doraName = "dora@home.collective.local";

async function codeOf(cli: CliMember, ...args: string[]): Promise<string> {
  return (await cli.ok(["invite", "generate", "--quiet", ...args])).trim();
}

/** Somebody else's home. */
function homeOf(cli: CliMember, name: string): { readonly home: string; readonly run: Run } {
  const home = join(cli.dir, name);
  return { home, run: runnerIn(home) };
}

function ok(result: CliResult): string {
  expect({ exitCode: result.exitCode, stderr: result.exitCode === 0 ? "" : result.stderr }).toEqual({ exitCode: 0, stderr: "" });
  return result.stdout;
}

describe("identity", () => {
  test("is a key of one's own, private, made once and shown on request", async () => {
    await using folder = await testFolder();
    const home = join(folder.path, "home");
    const run = runnerIn(home);
    expectFailure(await run(["identity", "show"]), { code: "not_found", says: /you have no identity yet/ });
    expectFailure(await run(["identity", "init"]), { code: "invalid_argument", says: /--global-id is missing/ });
    expectFailure(await run(["identity", "init", "--global-id", "Dora"]), { code: "invalid_argument", says: /cannot be a name/ });
    expect(ok(await run(["identity", "init", "--global-id", doraName]))).toContain(`you are ${doraName}`);
    expect((await stat(join(home, "identity"))).mode & 0o777).toBe(0o700);
    for (const file of ["key.pem", "identity.json"]) expect((await stat(join(home, "identity", file))).mode & 0o777).toBe(0o600);
    const key = await readFile(join(home, "identity/key.pem"), "utf8");
    expectFailure(await run(["identity", "init", "--global-id", "eve@home.collective.local"]), {
      code: "already_exists",
      says: /there is an identity already, dora@home/,
    });
    expect(await readFile(join(home, "identity/key.pem"), "utf8")).toBe(key);
    expect(JSON.parse(ok(await run(["identity", "show", "--json"])))).toMatchObject({
      global_id: doraName,
      public_key: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(ok(await run(["identity", "show"]))).not.toContain("PRIVATE");
  });

  test("of a newer version or without its key is not touched", async () => {
    await using folder = await testFolder();
    const run = runnerIn(folder.path);
    await run(["identity", "init", "--global-id", doraName]);
    const file = join(folder.path, "identity/identity.json");
    await writeFile(file, (await readFile(file, "utf8")).replace('"version": 1', '"version": 2'));
    expectFailure(await run(["identity", "show"]), { code: "configuration", says: /identity\.json: version: must be 1/ });
    expectFailure(await run(["identity", "init", "--global-id", doraName]), { code: "configuration", says: /identity\.json/ });
  });
});

describe("invite generate", () => {
  test("prints the code alone, as JSON, or with all that it means", async () => {
    await using cli = await startCliMember();
    await cli.ok(["mkdir", "-p", "/shared/films", "/music"]);
    const grants = ["--grant", "/shared:write+read", "--grant=/music:read"];
    expect(await codeOf(cli, ...grants)).toMatch(/^([0-9A-Z]{5}-){13}[0-9A-Z]{5}$/);
    const made = (await cli.json(["invite", "generate", ...grants, "--max-uses", "3", "--validity", "1h"])) as Record<string, unknown>;
    expect(made).toEqual({
      code: expect.any(String),
      id: expect.stringMatching(/^[0-9a-z]{8}$/),
      expires: new Date(cli.member.clock.nowMs + 3_600_000).toISOString(),
      grants: [
        { path: "/shared", rights: ["read", "write"] },
        { path: "/music", rights: ["read"] },
      ],
      max_uses: 3,
    });
    const { exitCode, stdout, stderr } = await cli.run(["invite", "generate", "--description", "for \u001b[2Jdora", ...grants]);
    expect({ exitCode, warned: stderr }).toEqual({ exitCode: 0, warned: expect.stringContaining("only this machine can reach") });
    expect(stdout).toContain("gives /shared: read+write, /music: read\n");
    const [, shown = ""] = /to use it: collective invite redeem (\S+)/.exec(stdout) ?? [];
    expect(parseInviteCode(shown).addresses).toEqual([{ host: "127.0.0.1", port: cli.member.bootstrap.port }]);
    expect(stdout.replace(/\s/g, "")).toContain(shown.replaceAll("-", ""));
    expect(stdout).not.toContain("█");
  });

  test("may name other addresses, whom it is for, and nothing that makes no sense", async () => {
    await using cli = await startCliMember();
    const code = parseInviteCode(
      await codeOf(cli, "--address", "nas.home", "--address", "[fd00::5]:99", "--for", "node", "--name", "node-07"),
    );
    expect(code).toMatchObject({
      kind: "node",
      addresses: [
        { host: "nas.home", port: 9001 },
        { host: "fd00::5", port: 99 },
      ],
    });
    const refused: readonly (readonly [readonly string[], RegExp])[] = [
      [["--grant", "/shared"], /names no rights/],
      [["--grant", "shared:read"], /not an absolute path/],
      [["--grant", "/shared:look"], /"look" is not a right/],
      [["--grant", "/:read"], /rights are granted on a datastore/],
      [["--max-uses", "0"], /--max-uses is a number from 1 to 10000/],
      [["--validity", "soon"], /is not a duration/],
      [["--validity", "1s"], /wrong shape at validityMs/],
      [["--for", "friend"], /--for is one of person, node, member/],
      [["--address", ":9001"], /not an address that others can connect to/],
    ];
    for (const [args, says] of refused) expectFailure(await cli.run(["invite", "generate", ...args]), { code: "invalid_argument", says });
    expectFailure(await cli.run(["invite", "generate", "--grant", "/nope:read"]), { code: "not_found", says: /there is no \/nope/ });
  });

  test("shows a QR code where a terminal can, and nowhere else", () => {
    const stream = { isTTY: true, columns: 80, write: () => true };
    const terminal = describeTerminal({ stream, environment: { LANG: "C.UTF-8" } });
    const qr = renderQr("2075MQ451R113DCBK1W9ZRB4FTPFPQAFPGVDHCMRB0WWHAB668Q3G060N00GA8S9Q4H12D", terminal);
    expect(qr?.split("\n").length).toBeLessThan(24);
    expect(qr).toContain("█");
    expect(renderQr("X", { ...terminal, columns: 10 })).toBeUndefined();
    expect(renderQr("X", { ...terminal, isTerminal: false })).toBeUndefined();
    expect(renderQr("X", { ...terminal, unicode: false })).toBeUndefined();
  });
});

describe("invite list and revoke", () => {
  test("tell what became of each, by id and by code, and never show a code", async () => {
    await using cli = await startCliMember();
    await cli.ok(["mkdir", "/shared"]);
    const codes = [await codeOf(cli, "--grant", "/shared:read", "--description", "for dora"), await codeOf(cli), await codeOf(cli)];
    ok(await homeOf(cli, "dora").run(["invite", "redeem", codes[0] ?? "", "--as", "dora"]));
    const rows = (await cli.json(["invite", "list"])) as { id: string; state: string }[];
    expect(rows.map(({ state }) => state).sort()).toEqual(["open", "open", "used up"]);
    const open = rows.filter(({ state }) => state === "open");
    expect(await cli.ok(["invite", "revoke", open[0]?.id.toUpperCase() ?? ""])).toContain("used 0 of 1 times");
    for (const code of codes.slice(1)) await cli.ok(["invite", "revoke", code.toLowerCase()]);
    const listed = (await cli.ok(["invite", "list"])) + JSON.stringify(await cli.json(["invite", "list"]));
    expect(((await cli.json(["invite", "list"])) as { state: string }[]).map(({ state }) => state).sort()).toEqual([
      "revoked",
      "revoked",
      "used up",
    ]);
    for (const code of codes) for (const part of [code, code.replaceAll("-", "")]) expect(listed).not.toContain(part);
    expectFailure(await cli.run(["invite", "revoke", "zzzzzzzz"]), { code: "not_found", says: /there is no invite zzzzzzzz/ });
    expectFailure(await cli.run(["invite", "revoke", "what"]), { code: "invalid_argument", says: /not an invite code/ });
  });
});

describe("invite redeem", () => {
  test("makes identity and context from nothing, and the context works at once", async () => {
    await using cli = await startCliMember();
    await cli.ok(["mkdir", "/shared"]);
    await cli.put("/shared/hello", "hello");
    const { home, run } = homeOf(cli, "dora");
    const code = await codeOf(cli, "--grant", "/shared:read");
    const joined = await run(["invite", "redeem", code, "--as", "dora"]);
    expect(ok(joined)).toBe(`joined alice@home.collective.local as ${doraName}\nyou may use /shared: read\ncontext alice, current\n`);
    expect(joined.stderr).toBe("next: collective ls /shared\n");
    expect(ok(await run(["ls", "/shared"]))).toBe("hello\n");
    expect(await readFile(join(home, "identity/key.pem"), "utf8")).toBe(await readFile(join(home, "certificates/alice/key.pem"), "utf8"));
    expect(JSON.parse(ok(await run(["identity", "list-collectives", "--json"])))).toMatchObject([
      { name: "alice", current: true, identity: doraName },
    ]);
    const again = JSON.parse(ok(await run(["invite", "redeem", ...code.split("-"), "--json"]))) as unknown;
    expect(again).toMatchObject({ context: "alice", current: true, identity: doraName, grants: [{ path: "/shared", rights: ["read"] }] });
  });

  test("uses the name that the code is for, the identity's, or the login name", async () => {
    await using cli = await startCliMember();
    const [named, own, login] = [homeOf(cli, "a"), homeOf(cli, "b"), homeOf(cli, "c")];
    expect(ok(await named.run(["invite", "redeem", await codeOf(cli, "--name", "zoe")]))).toContain("as zoe@home.collective.local");
    ok(await own.run(["identity", "init", "--global-id", "bob@garage.collective.local"]));
    expect(ok(await own.run(["invite", "redeem", await codeOf(cli)]))).toContain("as bob@home.collective.local");
    expect(JSON.parse(ok(await own.run(["identity", "show", "--json"])))).toMatchObject({ global_id: "bob@garage.collective.local" });
    expect(ok(await login.run(["invite", "redeem", await codeOf(cli)], { USER: "Max.Müller" }))).toContain(
      "as max-m-ller@home.collective.local",
    );
  });

  test("keeps to what is there: an own context is brought up to date, another's is left alone", async () => {
    await using cli = await startCliMember();
    // In the administrator's own home, where a context alice is there already.
    expect(await cli.ok(["invite", "redeem", await codeOf(cli), "--as", "dora"])).toContain("context alice-2\n");
    expect(await cli.json(["config", "current-context"])).toEqual({ name: "alice" });
    expectFailure(await cli.run(["invite", "redeem", await codeOf(cli), "--name", "alice"]), {
      code: "already_exists",
      says: /there is a context alice already, of another identity/,
    });
    expect(await cli.ok(["invite", "redeem", await codeOf(cli), "--name", "alice-2"])).toContain("context alice-2\n");
    expect(await cli.ok(["identity", "switch", "alice-2"])).toBe(`now at alice@home.collective.local as ${doraName}\n`);
    expectFailure(await cli.run(["identity", "switch", "bob"]), { code: "not_found", says: /no context is named "bob"/ });
  });

  test("takes no use of a code for what it can refuse by itself", async () => {
    await using cli = await startCliMember();
    const { run } = homeOf(cli, "dora");
    const code = await codeOf(cli);
    expectFailure(await run(["invite", "redeem", code, "--as", "dora@garage.collective.local"]), {
      code: "invalid_argument",
      says: /the code is of home\.collective\.local, where nobody can be dora@garage/,
    });
    expectFailure(await run(["invite", "redeem", code, "--name", "a/b"]), {
      code: "invalid_argument",
      says: /cannot be the name of a context/,
    });
    expectFailure(await run(["invite", "redeem", code, "--ca", "ca.pem"]), { code: "invalid_argument", says: /needed together/ });
    expectFailure(await run(["invite", "redeem", await codeOf(cli, "--for", "member")]), {
      code: "invalid_argument",
      says: /this code is for another member's coordinator/,
    });
    expectFailure(await run(["invite", "redeem", await codeOf(cli, "--for", "node")]), {
      code: "invalid_argument",
      says: /for a storage node/,
    });
    expect(((await cli.json(["invite", "list"])) as { uses: number }[]).map(({ uses }) => uses)).toEqual([0, 0, 0]);
    ok(await run(["invite", "redeem", code, "--as", "dora"]));
  });

  test("goes on with the same key after an answer that was lost", async () => {
    await using cli = await startCliMember({ nodes: 0 });
    const { home, run } = homeOf(cli, "dora");
    const code = await codeOf(cli);
    // The context cannot be written, as if the power had failed in between.
    await Bun.write(join(home, "certificates"), "in the way");
    expect((await run(["invite", "redeem", code, "--as", "dora"])).exitCode).not.toBe(0);
    await Bun.file(join(home, "certificates")).delete();
    expect(ok(await run(["invite", "redeem", code, "--as", "dora"]))).toContain(`as ${doraName}`);
    expect(((await cli.json(["invite", "list"])) as { uses: number }[]).map(({ uses }) => uses)).toEqual([1]);
  });

  test("may write files in place of a context, and certifies a key that is there", async () => {
    await using cli = await startCliMember();
    const { home, run } = homeOf(cli, "dora");
    const file = (name: string) => join(cli.dir, name);
    const places = ["--ca", file("ca.pem"), "--cert", file("cert.pem"), "--key", file("key.pem")];
    expect(ok(await run(["invite", "redeem", await codeOf(cli), "--as", "dora", ...places]))).toContain(`as ${doraName}`);
    expect((await stat(file("key.pem"))).mode & 0o777).toBe(0o600);
    expect(await readdir(home).catch(() => [])).toEqual([]);
    const init = ["init", "--name", "pool", "--coordinator", cli.member.address, "--member", "alice@home.collective.local"];
    ok(await run([...init, "--ca-cert", file("ca.pem"), "--cert", file("cert.pem"), "--key", file("key.pem")]));
    ok(await run(["ls", "/"]));
    expectFailure(await run(["invite", "redeem", await codeOf(cli), "--as", "dora", ...places]), {
      code: "already_exists",
      says: /exists already/,
    });
  });

  test("says in one line what is wrong with a code", async () => {
    await using cli = await startCliMember();
    const { run } = homeOf(cli, "dora");
    const code = await codeOf(cli);
    const redeem = (text: string) => run(["invite", "redeem", text, "--as", "dora"]);
    const swapped = code.slice(0, 12) + (code[12] === "A" ? "B" : "A") + code.slice(13);
    expectFailure(await redeem(swapped), { code: "invalid_argument", says: /the invite code was mistyped/ });
    expectFailure(await redeem("hello"), { code: "invalid_argument", says: /this is not an invite code/ });
    const elsewhere = formatInviteCode(altered(parseInviteCode(code), { addresses: [{ host: "127.0.0.1", port: 1 }] }));
    expectFailure(await redeem(elsewhere), {
      code: "unavailable",
      says: /cannot reach the collective at 127\.0\.0\.1:1: connection refused/,
    });
    const another = formatInviteCode(altered(parseInviteCode(code), { authorityPin: new Uint8Array(16) }));
    expectFailure(await redeem(another), { code: "not_authenticated", says: /is not the collective that the code is for/ });
    await cli.ok(["invite", "revoke", code]);
    expectFailure(await redeem(code), { code: "permission_denied", says: /this code was revoked/ });
  });
});

test.each([
  ["dora", "dora"],
  ["Dora Smith", "dora-smith"],
  ["DOMAIN\\dora", "domain-dora"],
  ["-_-", undefined],
  ["user", undefined],
  [undefined, undefined],
])("the login name %s suggests %s", (login, suggested) => {
  expect(loginLocalName(login) as string | undefined).toBe(suggested);
});
