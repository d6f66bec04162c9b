/** `auth renew`, `auth revoke` and `auth log`, as a person uses them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readCertificate } from "../../src/pki/certificate.ts";
import { type CliMember, startCliMember } from "../support/cli.ts";
import { expectFailure } from "../support/e2e-commands.ts";

let cli: CliMember;
beforeAll(async () => {
  cli = await startCliMember({ nodes: 1 });
});
afterAll(() => cli[Symbol.asyncDispose]());

async function serialInUse(context = "alice"): Promise<string> {
  return readCertificate(await readFile(join(cli.home, "certificates", context, "cert.pem"), "utf8")).serial;
}

/** A person with a context of its own name. */
async function joins(name: string): Promise<void> {
  const dir = join(cli.dir, name);
  await cli.ok(["auth", "cert", "--kind", "user", "--name", name, "--output", dir]);
  const files = ["--ca-cert", join(dir, "ca.pem"), "--cert", join(dir, "cert.pem"), "--key", join(dir, "key.pem")];
  await cli.ok(["init", "--name", name, "--coordinator", cli.member.address, "--member", "alice@home.collective.local", ...files]);
}

test("renew gets a new certificate at once and says how long it lives", async () => {
  const before = await serialInUse();
  expect(await cli.ok(["auth", "renew"])).toMatch(/^renewed the certificate of alice@home\.collective\.local: valid for (24h|1d)/);
  const after = await serialInUse();
  expect(after).not.toBe(before);
  const renewed = (await cli.json(["auth", "renew"])) as { serial: string; name: string };
  expect(renewed).toMatchObject({ name: "alice@home.collective.local", serial: await serialInUse() });
  await cli.ok(["ls", "/"]);
});

test("a certificate past two thirds of its life is renewed by any command, and nobody need know", async () => {
  const before = await serialInUse();
  cli.member.clock.nowMs -= 17 * 3_600_000;
  await cli.ok(["auth", "renew"]);
  cli.member.clock.nowMs += 17 * 3_600_000;
  const old = await serialInUse();
  const { stderr, exitCode } = await cli.run(["ls", "/"]);
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  expect(new Set([before, old, await serialInUse()]).size).toBe(3);
});

test("who is revoked is told so, by name or by serial", async () => {
  await joins("dora");
  await joins("eve");
  await cli.ok(["ls", "/", "--context", "dora"]);
  expect(await cli.ok(["auth", "revoke", "dora"])).toBe("revoked the person dora@home.collective.local\n");
  expectFailure(await cli.run(["ls", "/", "--context", "dora"]), {
    code: "not_authenticated",
    says: /dora@home\.collective\.local was revoked on \d{4}-/,
  });
  // As openssl writes it.
  const serial = await serialInUse("eve");
  expect(await cli.json(["auth", "revoke", serial.toUpperCase()])).toEqual({ kind: "certificate", name: serial });
  expectFailure(await cli.run(["auth", "renew", "--context", "eve"]), { code: "not_authenticated", says: /was revoked on/ });
  expect(await cli.json(["auth", "revoke", "node-01", "--kind", "node"])).toEqual({ kind: "node", name: "node-01@home.collective.local" });
  expectFailure(await cli.run(["auth", "revoke", "alice"]), { code: "conflict", says: /administrator/ });
  expectFailure(await cli.run(["auth", "revoke", "nobody"]), { code: "not_found", says: /nobody called nobody@home/ });
  expectFailure(await cli.run(["auth", "revoke", "--kind", "coordinator", "x"]), { code: "invalid_argument", says: /user, node/ });
});

test("the log says who did what to whom, newest last", async () => {
  await cli.ok(["mkdir", "/films"]);
  await cli.ok(["store", "remove", "films"]);
  const entries = (await cli.json(["auth", "log"])) as { seq: number; time: string; actor: string; action: string; subject: string }[];
  expect(entries.map(({ action, subject }) => `${action} ${subject.split("@")[0]}`)).toEqual([
    "person.joined dora",
    "person.joined eve",
    "identity.revoked dora",
    expect.stringMatching(/^certificate\.revoked [0-9a-f]{32}$/),
    "identity.revoked node-01",
    "store.created films",
    "store.removed films",
  ]);
  expect(entries.every(({ actor, time }) => actor === "alice@home.collective.local" && !Number.isNaN(Date.parse(time)))).toBe(true);
  const lines = (await cli.ok(["auth", "log", "--limit", "2"])).trimEnd().split("\n");
  expect(lines.map((line) => line.trim().split(/ {2,}/).slice(1, 4))).toEqual([
    ["WHO", "WHAT", "WHOM"],
    ["alice@home.collective.local", "store.created", "films"],
    ["alice@home.collective.local", "store.removed", "films"],
  ]);
  for (const limit of ["0", "-1", "x", "99999999"])
    expectFailure(await cli.run(["auth", "log", "--limit", limit]), { code: "invalid_argument", says: /--limit/ });
});

test("the log of a member with much history comes in pages", async () => {
  for (let i = 0; i < 1_100; i++) await cli.member.metadata.revokeSerial(`${i}`.padStart(32, "a"), cli.member.member);
  const entries = (await cli.json(["auth", "log", "--limit", "1050"])) as { seq: number }[];
  expect(entries).toHaveLength(1_050);
  expect(entries.every(({ seq }, index) => index === 0 || seq === (entries[index - 1]?.seq ?? 0) + 1)).toBe(true);
});
