/** What clients of one collective learn of each other, and keep each other from, by the coordinator's routes for sessions. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Inode, parseInode } from "../../protocol/ids.ts";
import { changesPerAnswerMax, sessionsPerCallerMax } from "../../protocol/limits.ts";
import { requestSlot, requestSlotBytes } from "../../protocol/request-id.ts";
import type { SubjectPattern } from "../../protocol/rights.ts";
import { routes } from "../../protocol/routes.ts";
import type { ChangeCursor } from "../../protocol/session-routes.ts";
import { systemRandom } from "../../src/core/random.ts";
import type { ControlClient } from "../../src/net/control-client.ts";
import { until } from "../support/e2e-commands.ts";
import { lock } from "../support/messages.ts";
import { expectCode, fileCommit, newUpload } from "../support/metadata.ts";
import { alice } from "../support/pki.ts";
import { lockOn } from "../support/rights-rows.ts";
import { callers, type RightsWorld, startRightsWorld } from "../support/rights-world.ts";

let world: RightsWorld;
beforeAll(async () => {
  world = await startRightsWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const clientOf = (session: string): ControlClient => world.member.client(undefined, undefined, session);
const [ann, ben] = ["session-of-ann-x", "session-of-ben-x"];

/** Leased to ann, who is asked for it only by what the test asks. */
async function leasedFile(directory: Inode): Promise<Inode> {
  const { inode } = await world.newFile(directory);
  await clientOf(ann).call(routes.open, { inode, access: "write" });
  return inode;
}

test("a file that is made once more, for an answer was lost, is not leased from under who has opened it meanwhile", async () => {
  const { handlers, service } = world.member;
  using _ann = service.leases.watches(ann);
  using _ben = service.leases.watches(ben);
  const slot = { slot: requestSlot(systemRandom.bytes(requestSlotBytes)), number: 1 };
  const files = [fileCommit({ parent: world.open.directory, name: world.newName(), replaces: null })];
  const { publicKeyRaw } = world.member.signer;
  const caller = { kind: "user", name: alice, publicKeyRaw, serial: "1", certificatePem: "" } as const;
  const context = { caller, session: ann, signal: new AbortController().signal } as const;
  const make = () =>
    handlers.commit(
      { upload: newUpload(), files, receipts: [], last: true, isRelaxed: false },
      { ...context, request: { ...slot, caller: alice, session: ann } },
    );
  const { attrs, leased } = await make();
  expect(leased).toBe(true);
  const inode = parseInode(attrs[0]?.inode ?? 0);
  service.leases.yield([inode], ann);
  expect(await clientOf(ben).call(routes.open, { inode, access: "write" })).toMatchObject({ leased: true });
  expect((await make()).leased).toBe(false);
  expect(service.leases.grant(inode, ben)).toBe(true);
});

test("who may not read a file disturbs nobody by asking where it is", async () => {
  const { leases } = world.member.service;
  using _ = leases.watches(ann);
  const inode = await leasedFile(world.closed.directory);
  const files = [{ inode, offset: 0, lengthBytes: 10 }];
  await expectCode("not_found", world.clients.reader.call(routes.locate, { files }));
  expect(leases.isRecalled(ann)).toBe(false);
  leases.yield([inode], ann);
});

test("who may not read a file any more when its holder has stored it is not shown it", async () => {
  const { service, metadata } = world.member;
  using _ = service.leases.watches(ann);
  const { inode } = await world.newFile(world.closed.directory);
  const person = callers["person without grants"].identity.name;
  const grant = { inode: world.closed.directory, subject: person as string as SubjectPattern };
  await metadata.grant({ ...grant, rights: ["read"], grantedBy: alice, expiresMs: null });
  await clientOf(ann).call(routes.open, { inode, access: "write" });
  const asked = expectCode(
    "not_found",
    world.clients["person without grants"].call(routes.locate, { files: [{ inode, offset: 0, lengthBytes: 10 }] }),
  );
  await until(() => service.leases.isRecalled(ann), Boolean);
  await world.clients.administrator.call(routes.revokeAccess, grant);
  service.leases.yield([inode], ann);
  await asked;
});

test("with a lock comes all that was changed before it, or that nothing is certain", async () => {
  const { member, open } = world;
  const client = clientOf(ben);
  const lockFile = (since: ChangeCursor | null) => client.call(routes.lock, { ...lockOn(open.file, "read"), wait: false, since });
  expect((await lockFile(null)).news.reset).toBe(true);
  const { cursor } = await client.call(routes.watch, { since: null });
  await member.client().call(routes.setAttr, { inode: open.file, mode: 0o600 });
  expect((await lockFile(cursor)).news).toMatchObject({ reset: false, changed: [open.file] });
  for (let made = 0; made < changesPerAnswerMax; made++) await member.metadata.setAttr(open.file, { mode: made % 2 ? 0o600 : 0o640 });
  expect((await lockFile(cursor)).news.reset).toBe(true);
});

test("whoever may not use a file keeps no lock on it by claiming one, nor when the right to it goes", async () => {
  const { member, clients } = world;
  const { inode } = await world.newFile(world.closed.directory);
  const nina = clients["person without grants"];
  const write = { ...lock, startByte: 0 };
  expect(await nina.call(routes.yieldLease, { inode, locks: [write] })).toEqual({ kept: false });
  const grant = { inode: world.closed.directory, subject: callers["person without grants"].identity.name as string as SubjectPattern };
  await member.metadata.grant({ ...grant, rights: ["read"], grantedBy: alice, expiresMs: null });
  const { cursor } = await nina.call(routes.watch, { since: null });
  expect(await nina.call(routes.yieldLease, { inode, locks: [write] })).toEqual({ kept: true });
  await expectCode("locked", clients.administrator.call(routes.lock, { inode, lock: write, wait: false, since: null }));
  await clients.administrator.call(routes.revokeAccess, grant);
  expect(await nina.call(routes.watch, { since: cursor })).toMatchObject({ reset: true });
  expect(await clients.administrator.call(routes.lock, { inode, lock: write, wait: false, since: null })).toMatchObject({ granted: true });
});

test("nobody locks what does not exist, nor a range that ends before it begins", async () => {
  const gone = parseInode(123_456_789);
  const atOnce = { wait: false, since: null };
  await expectCode("not_found", clientOf(ann).call(routes.lock, { inode: gone, lock, ...atOnce }));
  expect(await clientOf(ann).call(routes.yieldLease, { inode: gone, locks: [lock] })).toEqual({ kept: false });
  const turned = { ...lock, startByte: 5, endByte: 4 };
  await expectCode("invalid_argument", clientOf(ann).call(routes.lock, { inode: world.open.file, lock: turned, ...atOnce }));
});

test("locks are told while what was closed is still being stored, and the lease ends when it is", async () => {
  const { leases } = world.member.service;
  using _ = leases.watches(ann);
  const inode = await leasedFile(world.open.directory);
  expect(await clientOf(ann).call(routes.yieldLease, { inode, locks: [lock], isStoring: true })).toEqual({ kept: true });
  await expectCode("locked", clientOf(ben).call(routes.lock, { inode, lock, wait: false, since: null }));
  using _ben = leases.watches(ben);
  expect(leases.grant(inode, ben)).toBe(false);
  await clientOf(ann).call(routes.yieldLease, { inode, locks: [lock] });
  expect(await leases.settle([inode], ben)).toBe(false);
});

test("nobody waits for what a client has that has given back all", async () => {
  const { leases } = world.member.service;
  using _ = leases.watches(ann);
  const inode = await leasedFile(world.open.directory);
  await clientOf(ann).call(routes.release, { inodes: "all" });
  expect(await leases.settle([inode], ben)).toBe(false);
});

test("a person watches from a limited number of clients", async () => {
  const { member, credentials } = world;
  const watch = (index: number) =>
    member.client(credentials.dropper, undefined, `session-number-${index}`).call(routes.watch, { since: null });
  for (let index = 0; index < sessionsPerCallerMax; index++) await watch(1_000 + index);
  await expectCode("too_large", watch(1));
  // Nor by asking once more.
  await expectCode("too_large", watch(1));
});
