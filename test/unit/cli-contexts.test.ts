import { describe, expect, test } from "bun:test";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseGlobalName } from "../../protocol/ids.ts";
import { expiryOf } from "../../src/cli/output/certificates.ts";
import { readCertificate } from "../../src/pki/certificate.ts";
import { type CliMember, runnerIn, startCliMember } from "../support/cli.ts";
import { expectFailure } from "../support/e2e-commands.ts";

const aliceName = "alice@home.collective.local";

/** Credentials of a person, in a folder. */
async function dora(cli: CliMember, name = "dora"): Promise<string> {
  const dir = join(cli.dir, name);
  await cli.ok(["auth", "cert", "--kind", "user", "--name", name, "--output", dir]);
  return dir;
}

function fromFiles(dir: string): string[] {
  return ["--ca-cert", join(dir, "ca.pem"), "--cert", join(dir, "cert.pem"), "--key", join(dir, "key.pem")];
}

describe("init", () => {
  test("makes a context that works, and the first one is current", async () => {
    await using cli = await startCliMember();
    const dir = await dora(cli);
    const run = runnerIn(join(cli.dir, "other-home"));
    const made = await run(["init", "--name", "pool", "--coordinator", cli.member.address, "--member", aliceName, ...fromFiles(dir)]);
    expect(made).toEqual({ exitCode: 0, stdout: `context pool: ${aliceName} at ${cli.member.address}, current\n`, stderr: "" });
    await cli.ok(["mkdir", "/shared"]);
    await cli.ok(["access", "grant", "/shared", "dora@home.collective.local", "--rights", "read+write"]);
    expect((await run(["mkdir", "/shared/from-dora"])).exitCode).toBe(0);
    expect(JSON.parse((await run(["stat", "/shared/from-dora", "--json"])).stdout)).toMatchObject({ owner: "dora@home.collective.local" });
    const key = join(cli.dir, "other-home/certificates/pool/key.pem");
    expect((await stat(key)).mode & 0o777).toBe(0o600);
  });

  test("takes authority and certificate one after the other, and a new address for the same member", async () => {
    await using cli = await startCliMember();
    const dir = await dora(cli);
    const run = runnerIn(join(cli.dir, "other-home"));
    const init = (...more: string[]) => run(["init", "--name", "pool", "--coordinator", "nas.home", "--member", aliceName, ...more]);
    const bare = await init();
    expect(bare.exitCode).toBe(0);
    expect(bare.stderr).toContain("no credentials yet");
    expectFailure(await run(["ls", "/"]), { code: "not_found", says: /no certificate in/ });
    expectFailure(await init("--cert", join(dir, "cert.pem"), "--key", join(dir, "key.pem")), {
      code: "invalid_argument",
      says: /authority is missing/,
    });
    expect((await init("--ca-cert", join(dir, "ca.pem"))).exitCode).toBe(0);
    expect((await init("--cert", join(dir, "cert.pem"), "--key", join(dir, "key.pem"))).exitCode).toBe(0);
    const moved = await run(["init", "--name", "pool", "--coordinator", cli.member.address, "--member", aliceName]);
    expect(moved.exitCode).toBe(0);
    expect((await run(["ls", "/"])).exitCode).toBe(0);
    expect(JSON.parse((await run(["config", "show-context", "--json"])).stdout)).toMatchObject({
      name: "pool",
      identity: "dora@home.collective.local",
    });
  });

  test("refuses what does not fit together, and leaves everything as it was", async () => {
    await using cli = await startCliMember();
    const [mine, other] = [await dora(cli), await dora(cli, "eve")];
    const garage = join(cli.dir, "garage");
    await cli.ok(["auth", "init", "--member", "bob@garage.collective.local", "--data-dir", garage]);
    const base = ["--coordinator", "nas.home:8001", "--member", aliceName];
    const before = await cli.ok(["config", "get-contexts", "--json"]);
    const refused: readonly (readonly [readonly string[], Parameters<typeof expectFailure>[1]])[] = [
      [["--name", "x", "--coordinator", "nas.home"], { code: "invalid_argument", says: /--member is missing/ }],
      [["--name", "../x", ...base], { code: "invalid_argument", says: /cannot be the name of a context/ }],
      [["--name", "x", "--coordinator", "nas.home:0", "--member", aliceName], { code: "invalid_argument", says: /no port to connect to/ }],
      [
        ["--name", "x", ...base, "--cert", join(mine, "cert.pem")],
        { code: "invalid_argument", says: /--cert and --key are needed together/ },
      ],
      [["--name", "x", ...base, ...fromFiles(join(cli.dir, "nope"))], { code: "not_found", says: /cannot read .*nope/ }],
      [
        ["--name", "x", ...base, "--ca-cert", join(mine, "ca.pem"), "--cert", join(mine, "cert.pem"), "--key", join(other, "key.pem")],
        { code: "configuration", says: /private key does not belong to the certificate/ },
      ],
      [
        ["--name", "x", ...base, "--ca-cert", join(garage, "authority/ca.pem")],
        { code: "configuration", says: /authority is that of garage\.collective\.local/ },
      ],
      [
        ["--name", "alice", "--coordinator", "nas.home", "--member", "bob@garage.collective.local"],
        { code: "already_exists", says: /the context alice is of alice@/ },
      ],
    ];
    for (const [args, expected] of refused) expectFailure(await cli.run(["init", ...args]), expected);
    expect(await cli.ok(["config", "get-contexts", "--json"])).toBe(before);
    expect(await readdir(join(cli.home, "certificates"))).toEqual(["alice"]);
  });
});

describe("config", () => {
  test("lists, chooses, shows and deletes contexts", async () => {
    await using cli = await startCliMember();
    await cli.ok(["init", "--name", "zoo", "--coordinator", cli.member.address, "--member", aliceName, ...fromFiles(await dora(cli))]);
    expect(await cli.ok(["config", "get-contexts", "--quiet"])).toBe("alice\nzoo\n");
    expect(await cli.ok(["config", "get-contexts"])).toMatch(/^ +NAME .*\n\* +alice .*\n +zoo /);
    expect(await cli.ok(["config", "current-context"])).toBe("alice\n");
    await cli.ok(["config", "use-context", "zoo"]);
    expect(await cli.json(["config", "current-context"])).toEqual({ name: "zoo" });
    expect(await cli.ok(["--context", "alice", "config", "current-context"])).toBe("alice\n");
    expect((await cli.run(["config", "current-context"], { COLLECTIVE_CONTEXT: "alice" })).stdout).toBe("alice\n");
    expect(await cli.json(["config", "show-context", "alice"])).toMatchObject({
      name: "alice",
      current: false,
      member: aliceName,
      identity: aliceName,
    });
    expect(await cli.ok(["config", "show-context"])).toContain("user dora@home.collective.local");
    await cli.ok(["config", "delete-context", "zoo"]);
    expect(await readdir(join(cli.home, "certificates"))).toEqual(["alice"]);
    expectFailure(await cli.run(["config", "current-context"]), { code: "not_found", says: /no context is current/ });
    expectFailure(await cli.run(["ls", "/"]), { code: "configuration", says: /no context is current/ });
    expect(await cli.ok(["ls", "/", "--context", "alice"])).toBe("");
    expectFailure(await cli.run(["config", "use-context", "alic"]), { code: "not_found", says: /did you mean alice\?/ });
  });

  test("an address of the environment gives way to a context that a flag names", async () => {
    await using cli = await startCliMember();
    const nowhere = { COLLECTIVE_COORDINATOR_ADDRESS: "127.0.0.1:1" };
    expectFailure(await cli.run(["ls", "/"], nowhere), { code: "unavailable", says: /127\.0\.0\.1:1/ });
    expect((await cli.run(["ls", "/", "--context", "alice"], nowhere)).exitCode).toBe(0);
  });
});

describe("auth", () => {
  test("cert by the coordinator: a key that never leaves, three files, and never a second time", async () => {
    await using cli = await startCliMember();
    const dir = await dora(cli);
    expect((await readdir(dir)).sort()).toEqual(["ca.pem", "cert.pem", "key.pem"]);
    expect((await stat(join(dir, "key.pem"))).mode & 0o777).toBe(0o600);
    const key = await readFile(join(dir, "key.pem"), "utf8");
    expectFailure(await cli.run(["auth", "cert", "--kind", "user", "--name", "dora", "--output", dir]), {
      code: "already_exists",
      says: /key\.pem exists already/,
    });
    expect(await readFile(join(dir, "key.pem"), "utf8")).toBe(key);
    expect(await cli.json(["auth", "info", dir])).toMatchObject({
      kind: "user",
      name: "dora@home.collective.local",
      site: "home.collective.local",
      expired: false,
      warning: null,
    });
  });

  test("cert by the authority in a data directory, of any kind, for as long as asked", async () => {
    await using cli = await startCliMember({ nodes: 0 });
    const data = join(cli.dir, "bob");
    const bob = "bob@garage.collective.local";
    expect(await cli.ok(["auth", "init", "--member", bob, "--data-dir", data])).toContain(
      "made the certificate authority of garage.collective.local",
    );
    const ca = await readFile(join(data, "authority/ca.pem"), "utf8");
    expectFailure(await cli.run(["auth", "init", "--member", bob, "--data-dir", data]), { code: "already_exists", says: /already/ });
    expectFailure(await cli.run(["auth", "init", "--member", aliceName, "--data-dir", data]), {
      code: "configuration",
      says: /belongs to garage/,
    });
    expect(await readFile(join(data, "authority/ca.pem"), "utf8")).toBe(ca);
    for (const [kind, name, validityMs] of [
      ["node", "node-07", 7 * 86_400_000],
      ["coordinator", "bob", 300_000],
      ["user", "eve@garage.collective.local", 397 * 86_400_000],
    ] as const) {
      const dir = join(cli.dir, kind);
      const validity = `${validityMs / 60_000}m`;
      await cli.ok(["auth", "cert", "--kind", kind, "--name", name, "--validity", validity, "--data-dir", data, "--output", dir]);
      const certificate = readCertificate(await readFile(join(dir, "cert.pem"), "utf8"));
      expect(certificate.identity).toEqual({ kind, name: parseGlobalName(name.includes("@") ? name : `${name}@garage.collective.local`) });
      expect(Math.abs(certificate.notAfterMs - Date.now() - validityMs)).toBeLessThan(60_000);
      expect(await readFile(join(dir, "ca.pem"), "utf8")).toBe(ca);
    }
  });

  const mistakes: readonly (readonly [readonly string[], Parameters<typeof expectFailure>[1]])[] = [
    [["cert", "--name", "x"], { code: "invalid_argument", says: /--kind is missing/ }],
    [["cert", "--kind", "user"], { code: "invalid_argument", says: /--name is missing/ }],
    [["cert", "--kind", "robot", "--name", "x"], { code: "invalid_argument", says: /--kind is one of coordinator, node, user/ }],
    [["cert", "--kind", "user", "--name", "Dora!"], { code: "invalid_argument", says: /cannot be a name/ }],
    [["cert", "--kind", "user", "--name", "x", "--validity", "398d"], { code: "invalid_argument", says: /not between 30s and 397d/ }],
    [["cert", "--kind", "user", "--name", "x", "--validity", "1s"], { code: "invalid_argument", says: /not between 30s and 397d/ }],
    [["cert", "--kind", "user", "--name", "x@garage.collective.local"], { code: "permission_denied", says: /cannot speak for garage/ }],
    [["cert", "--kind", "user", "--name", "x", "--data-dir", "/nonexistent"], { code: "not_found", says: /no certificate authority in/ }],
    [["init", "--data-dir", "/nonexistent"], { code: "configuration", says: /--member/ }],
    [["info", "/nonexistent"], { code: "not_found", says: /there is no certificate \/nonexistent/ }],
  ];
  test("mistakes are told in one line and leave no files", async () => {
    await using cli = await startCliMember({ nodes: 0 });
    const output = join(cli.dir, "output");
    for (const [args, expected] of mistakes) {
      expectFailure(await cli.run(["auth", ...args, ...(args[0] === "cert" ? ["--output", output] : [])]), expected);
    }
    await expect(stat(output)).rejects.toThrow();
  });

  test("only the administrator has others certified", async () => {
    await using cli = await startCliMember();
    await cli.ok(["init", "--name", "dora", "--coordinator", cli.member.address, "--member", aliceName, ...fromFiles(await dora(cli))]);
    const output = join(cli.dir, "mallory");
    const refused = await cli.run(["auth", "cert", "--kind", "user", "--name", "mallory", "--output", output, "--context", "dora"]);
    expectFailure(refused, { code: "permission_denied", says: /only alice@home\.collective\.local may do this/ });
    await expect(stat(output)).rejects.toThrow();
  });

  test("info reads the context's certificate, an authority's, and says what is none", async () => {
    await using cli = await startCliMember({ nodes: 0 });
    expect(await cli.json(["auth", "info"])).toMatchObject({ kind: "user", name: aliceName, issuer: `CN=${aliceName} CA` });
    const folder = join(cli.home, "certificates/alice");
    expect(await cli.json(["auth", "info", join(folder, "ca.pem")])).toMatchObject({
      kind: "authority",
      name: null,
      site: "home.collective.local",
    });
    expectFailure(await cli.run(["auth", "info", join(folder, "key.pem")]), {
      code: "invalid_argument",
      says: /key\.pem: not a certificate/,
    });
    await writeFile(join(cli.dir, "noise"), "noise");
    expectFailure(await cli.run(["auth", "info", join(cli.dir, "noise")]), {
      code: "invalid_argument",
      says: /noise: expected one certificate/,
    });
  });

  test("expiry is a warning under a third of life, and says so when it is over", () => {
    const life = { notBeforeMs: 0, notAfterMs: 90 * 86_400_000 };
    const at = (days: number) => expiryOf(life, days * 86_400_000);
    expect(at(1).warning).toBeUndefined();
    expect(at(59).warning).toBeUndefined();
    expect(at(61).warning).toBe("less than a third of its life is left, 29d");
    expect(at(92)).toMatchObject({ expired: true, leftMs: 0, warning: "expired 2d ago" });
    expect(expiryOf(life, -1)).toMatchObject({ notYetValid: true, warning: "not valid before 1970-01-01T00:00:00.000Z" });
  });
});
