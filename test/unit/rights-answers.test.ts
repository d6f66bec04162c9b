/** What answers and errors give away beside what was asked for: nothing of what the caller does not see. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type GlobalName, type Inode, parseGlobalName } from "../../protocol/ids.ts";
import { parseSubjectPattern, type Right } from "../../protocol/rights.ts";
import { routes } from "../../protocol/routes.ts";
import { createStore, expectCode, newUpload, owner } from "../support/metadata.ts";
import { type CallerKind, callers, type RightsWorld, someone, startRightsWorld } from "../support/rights-world.ts";

let world: RightsWorld;
beforeAll(async () => {
  world = await startRightsWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const stranger = "person of another member without grants" satisfies CallerKind;

function grant(inode: Inode, to: GlobalName, rights: readonly Right[], grantedBy = owner): Promise<void> {
  return world.member.metadata.grant({ inode, subject: parseSubjectPattern(to), rights, grantedBy, expiresMs: null });
}

test("changing what a guessed inode stands for shows nothing of it to whoever may only write there", async () => {
  const dropper = world.clients.dropper;
  await expectCode("not_found", dropper.call(routes.setAttr, { inode: world.drop.file }));
  await expectCode("not_found", dropper.call(routes.setAttr, { inode: world.drop.file, mode: 0o600 }));
  // What it made itself it may finish.
  const directories = [{ parent: world.drop.directory, name: world.newName(), mode: 0o755 }];
  const [made] = (await dropper.call(routes.makeDirectories, { directories, existing: "fail" })).attrs;
  if (!made) throw new Error("no directory was made");
  expect(await dropper.call(routes.setAttr, { inode: made.inode, mode: 0o700 })).toMatchObject({ inode: made.inode, mode: 0o700 });
});

test("whoever may share a directory and not read it learns no name in it, by listing grants or by granting", async () => {
  const { name } = callers["person without grants"].identity;
  const client = world.clients["person without grants"];
  const { directory } = world.private;
  const { attrs } = await world.clients.administrator.call(routes.makeDirectories, {
    directories: [{ parent: directory, name: "hidden", mode: 0o755 }],
    existing: "fail",
  });
  const hidden = attrs[0]?.inode ?? directory;
  await grant(directory, name, ["share"]);
  await grant(hidden, parseGlobalName(someone), ["read"]);
  await grant(directory, parseGlobalName(someone), ["read"]);
  const { grants } = await client.call(routes.listAccess, {});
  expect(grants.map(({ path, subject }) => `${path} ${subject}`).sort()).toEqual([`/private ${name}`, `/private ${someone}`]);
  await expectCode(
    "not_found",
    client.call(routes.grantAccess, { inode: hidden, subject: parseSubjectPattern(someone), rights: ["share"] }),
  );
  await grant(directory, name, ["share", "read"]);
  expect((await client.call(routes.listAccess, {})).grants).toHaveLength(3);
});

test("people of other sites do not learn how full the nodes are from being refused", async () => {
  const store = await createStore(world.member.metadata, world.newName());
  for (const kind of [stranger, "writer"] as const) await grant(store.inode, callers[kind].identity.name, ["write"]);
  const chunks = [{ id: "cd".repeat(32), storedBytes: 4_000_000, codec: "none" as const }];
  const wish = { store: store.inode, chunks, exclude: [], receipts: [] };
  await world.member.service.directory.record(
    { name: world.node.name, publicKeyRaw: world.node.signer.publicKeyRaw },
    {
      address: world.node.address,
      capacityBytes: 4_242_424,
      usedBytes: 1_111_111,
      freeBytes: 3_131_313,
      chunkCount: 1,
      version: "0.0.0-test",
    },
  );
  const refused = (kind: CallerKind) => expectCode("no_space", world.clients[kind].call(routes.allocate, { ...wish, upload: newUpload() }));
  expect((await refused("writer")).details).toEqual({ freeBytes: 3_131_313, neededBytes: 4_000_000 });
  const error = await refused(stranger);
  expect(error.message).toBe("no node of alice@home.collective.local has room for 4000000 bytes");
  expect(JSON.stringify([error.hint, error.details])).not.toContain("3131313");
  await world.node.register();
});
