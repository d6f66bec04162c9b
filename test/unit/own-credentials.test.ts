/** A context's certificate, renewed by whoever uses it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import { rootInode } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import { openOwnCredentials } from "../../src/client/own-credentials.ts";
import { createRemote } from "../../src/client/remote.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { systemRandom } from "../../src/core/random.ts";
import { loadCredentials, saveCredentials } from "../../src/pki/credentials.ts";
import { startTestMember, type TestMember } from "../support/member.ts";
import { expectCode } from "../support/metadata.ts";
import { alice, hourMs, leafOf, type TestFolder, testFolder } from "../support/pki.ts";

let member: TestMember;
let renewals = 0;
beforeAll(async () => {
  member = await startTestMember({
    wrapHandlers: (handlers) => ({
      ...handlers,
      renewCertificate: (input, context) => {
        renewals++;
        return handlers.renewCertificate(input, context);
      },
    }),
  });
});
afterAll(() => member[Symbol.asyncDispose]());

/** A context whose certificate was issued some time ago, with a day to live. */
async function contextFrom(agoMs: number): Promise<TestFolder> {
  const folder = await testFolder();
  const leaf = await leafOf(member.authority, { kind: "user", name: alice }, { nowMs: Date.now() - agoMs, validityMs: 24 * hourMs });
  await saveCredentials(folder.path, { ...leaf, authorityPem: member.authority.certificatePem });
  renewals = 0;
  return folder;
}

/** As a command does. */
async function use(folder: string, { address = member.address, clock = systemClock } = {}) {
  const own = await openOwnCredentials({
    folder,
    certify: (csrPem) => remote.control.call(routes.renewCertificate, { csrPem }),
    clock,
    random: systemRandom,
    log: silentLog,
  });
  const remote = createRemote({
    ...{ member: alice, address, clock, random: systemRandom, log: silentLog },
    credentials: own.current,
    beforeCall: own.renewIfDue,
  });
  return { own, look: () => remote.control.call(routes.getAttr, { inode: rootInode }) };
}

test("past two thirds of its life, or expired for a week, it is renewed by the first call, keeping the key", async () => {
  for (const agoMs of [17 * hourMs, 8 * 24 * hourMs]) {
    await using folder = await contextFrom(agoMs);
    const before = await loadCredentials(folder.path);
    const { own, look } = await use(folder.path);
    for (let i = 0; i < 3; i++) expect((await look()).inode).toBe(rootInode);
    const after = await loadCredentials(folder.path);
    expect({ renewals, sameKey: after.privateKeyPem === before.privateKeyPem }).toEqual({ renewals: 1, sameKey: true });
    expect(after.info.notAfterMs).toBeGreaterThan(Date.now() + 23 * hourMs);
    expect(own.current().info.serial).toBe(after.info.serial);
    expect(readdirSync(folder.path).sort()).toEqual(["ca.pem", "cert.pem", "key.pem"]);
  }
});

test("before that it is left alone, until somebody asks for a new one", async () => {
  await using folder = await contextFrom(hourMs);
  const { own, look } = await use(folder.path);
  await look();
  expect(renewals).toBe(0);
  const before = own.current().info.serial;
  const renewed = await own.renew();
  expect(renewed.info.serial).not.toBe(before);
  expect((await look()).inode).toBe(rootInode);
});

test("commands at once renew it once, and none gets in the other's way", async () => {
  await using folder = await contextFrom(17 * hourMs);
  const commands = await Promise.all(Array.from({ length: 8 }, () => use(folder.path)));
  await Promise.all(commands.map(({ look }) => look()));
  expect(renewals).toBe(1);
  const { serial } = (await loadCredentials(folder.path)).info;
  expect(new Set(commands.map(({ own }) => own.current().info.serial))).toEqual(new Set([serial]));
});

test("a process that outlives its certificate goes on with the next", async () => {
  await using folder = await contextFrom(0);
  const clock = { ...systemClock, wallMs: () => Date.now() + laterMs };
  let laterMs = 0;
  const { own, look } = await use(folder.path, { clock });
  await look();
  const first = own.current().info.serial;
  laterMs = 17 * hourMs;
  await look();
  expect(own.current().info.serial).not.toBe(first);
  expect(renewals).toBe(1);
});

test("not renewed: no failure while it is valid, and its reason when it is not", async () => {
  await using due = await contextFrom(17 * hourMs);
  await expectCode("unavailable", (await use(due.path, { address: "127.0.0.1:1" })).look());
  const own = await openOwnCredentials({
    ...{ folder: due.path, clock: systemClock, random: systemRandom, log: silentLog },
    certify: () => Promise.reject(new CollectiveError("internal", "broken")),
  });
  await own.renewIfDue();
  await using expired = await contextFrom(100 * 24 * hourMs);
  const before = readFileSync(join(expired.path, "cert.pem"), "utf8");
  const error = await expectCode("not_authenticated", (await use(expired.path)).look());
  expect(error.message).toMatch(/^the certificate of alice@home\.collective\.local expired on /);
  expect(error.hint).toContain("90 days");
  expect(readFileSync(join(expired.path, "cert.pem"), "utf8")).toBe(before);
});
