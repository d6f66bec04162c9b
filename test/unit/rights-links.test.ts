/** Rights on files with several names or none: another name gives nobody what was not given, and keeps nothing that was taken. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Inode } from "../../protocol/ids.ts";
import { type Right, rights, type SubjectPattern } from "../../protocol/rights.ts";
import { routes } from "../../protocol/routes.ts";
import { expectCode, failureOf } from "../support/metadata.ts";
import { alice } from "../support/pki.ts";
import { type CallerKind, callers, type RightsWorld, startRightsWorld } from "../support/rights-world.ts";

let world: RightsWorld;
beforeEach(async () => {
  world = await startRightsWorld();
});
afterEach(() => world[Symbol.asyncDispose]());

const subjectOf = (kind: CallerKind) => callers[kind].identity.name as string as SubjectPattern;

async function grant(kind: CallerKind, inode: Inode, granted: readonly Right[] = rights): Promise<void> {
  await world.member.metadata.grant({ inode, subject: subjectOf(kind), rights: granted, grantedBy: alice, expiresMs: null });
}

const link = (kind: CallerKind, inode: Inode, parent: Inode, name = "linked") =>
  world.clients[kind].call(routes.link, { inode, to: { parent, name } });

test("one of several names opens a file, and shows no other", async () => {
  const { open, closed, clients } = world;
  await link("administrator", closed.file, open.directory);
  expect(await clients.reader.call(routes.getAttr, { inode: closed.file })).toMatchObject({ links: 2 });
  expect((await clients.reader.call(routes.resolve, { components: ["shared", "open", "linked"] })).attr?.inode).toBe(closed.file);
  await expectCode("not_found", clients.reader.call(routes.resolve, { components: ["shared", "closed", "file"] }));
  await expectCode("not_found", clients.reader.call(routes.lookup, { parent: closed.directory, name: "file" }));
  const denied = await failureOf(clients.reader.call(routes.setAttr, { inode: closed.file, mode: 0o600 }));
  expect(denied).toMatchObject({ code: "permission_denied", details: { path: "/shared/open/linked" } });
  // By the name that was given it is written as any other there, and no longer when that name is gone.
  await clients.writer.call(routes.setAttr, { inode: closed.file, mode: 0o600 });
  await clients.editor.call(routes.remove, { parent: open.directory, name: "linked", kind: "file" });
  await expectCode("not_found", clients.writer.call(routes.setAttr, { inode: closed.file, mode: 0o600 }));
});

test("who was given two directories apart does not tie them together, and so keeps nothing when one is taken away", async () => {
  const { open, closed, clients, newFile, shared } = world;
  for (const directory of [open.directory, closed.directory]) await grant("dropper", directory);
  await expectCode("permission_denied", link("dropper", open.file, closed.directory));
  await expectCode("permission_denied", link("dropper", closed.file, open.directory));
  await link("dropper", open.file, open.directory);
  // Moving is copying and removing; with another name left behind it is linking.
  const { name, inode } = await newFile(open.directory);
  const move = () =>
    clients.dropper.call(routes.rename, { from: { parent: open.directory, name }, to: { parent: closed.directory, name }, replace: false });
  const swap = { one: { parent: open.directory, name }, other: { parent: closed.directory, name: "file" } };
  await link("administrator", inode, shared, "third");
  await expectCode("permission_denied", move());
  await expectCode("permission_denied", clients.dropper.call(routes.exchange, swap));
  await clients.administrator.call(routes.remove, { parent: shared, name: "third", kind: "file" });
  await move();
});

test("who links across directories may pass on all that is granted there, and loses both at once", async () => {
  const { open, closed, shared, clients } = world;
  await grant("dropper", shared, ["read", "write", "delete"]);
  // Others were granted something on /shared/open, and would have it on the file.
  await expectCode("permission_denied", link("dropper", closed.file, open.directory));
  await grant("dropper", shared);
  await link("dropper", closed.file, open.directory);
  await clients.reader.call(routes.getAttr, { inode: closed.file });
  await clients.administrator.call(routes.revokeAccess, { inode: shared, subject: subjectOf("dropper") });
  await expectCode("not_found", clients.dropper.call(routes.getAttr, { inode: closed.file }));
});

test("who may write where nothing else is granted links from directory to directory", async () => {
  const { open, clients } = world;
  await link("writer", open.file, open.sub);
  expect(await clients.reader.call(routes.getAttr, { inode: open.file })).toMatchObject({ links: 2 });
});

test("an open file without a name has the rights of the directory that it was in", async () => {
  const { open, clients, newFile } = world;
  const { name, inode } = await newFile(open.sub);
  expect(await clients.reader.call(routes.hold, { inodes: [inode, world.closed.file] })).toEqual({ gone: [world.closed.file] });
  await clients.editor.call(routes.remove, { parent: open.sub, name, kind: "file" });
  await clients.editor.call(routes.remove, { parent: open.directory, name: "sub", kind: "tree" });
  const read = (kind: CallerKind) => clients[kind].call(routes.locate, { files: [{ inode, offset: 0, lengthBytes: 1 }] });
  expect((await read("reader")).files[0]?.extents).toHaveLength(1);
  await expectCode("not_found", read("person without grants"));
  await expectCode("permission_denied", clients.reader.call(routes.setAttr, { inode, mode: 0o600 }));
  // Nobody else's session gives it back.
  await clients.writer.call(routes.release, { inodes: "all" });
  await read("reader");
  await clients.administrator.call(routes.revokeAccess, { inode: open.directory, subject: subjectOf("reader") });
  await expectCode("not_found", read("reader"));
  await read("writer");
  await clients.reader.call(routes.release, { inodes: [inode] });
  while (await world.member.metadata.reclaim());
  await expectCode("not_found", read("writer"));
});

test("a file that was moved is written by its number only where its writer may write", async () => {
  const { open, closed, clients, newFile, member } = world;
  const { name, inode } = await newFile(open.directory);
  const commit = () =>
    clients.writer.call(routes.commit, {
      ...{ upload: "an-upload-of-a-test", receipts: [], last: true },
      files: [{ parent: open.directory, name, inode, mode: 0o644, mtimeNs: 1n, sizeBytes: 0, extents: [] }],
    });
  await commit();
  await member.metadata.rename({ parent: open.directory, name }, { parent: closed.directory, name }, { replace: false });
  await expectCode("not_found", commit());
});
