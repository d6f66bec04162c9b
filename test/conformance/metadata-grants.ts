/** Grants: where they are found, and whose tickets go with them. */
import { expect } from "bun:test";
import { type GlobalName, type Inode, parseInode, rootInode } from "../../protocol/ids.ts";
import { parseSubjectPattern, type Right } from "../../protocol/rights.ts";
import type { MetadataStore } from "../../src/meta/store.ts";
import { createStore, expectCode, owner } from "../support/metadata.ts";
import type { Check } from "./metadata-store.ts";

const [dora, eve, fred] = ["dora", "eve", "fred"].map((name) => `${name}@home.collective.local`) as [GlobalName, GlobalName, GlobalName];
const bob = "bob@garage.collective.local" as GlobalName;

interface Grant {
  readonly to: string;
  readonly rights?: readonly Right[];
  readonly by?: GlobalName;
  readonly expiresMs?: number;
}

function grant(metadata: MetadataStore, inode: Inode, { to, rights = ["read"], by = owner, expiresMs }: Grant): Promise<void> {
  return metadata.grant({ inode, subject: parseSubjectPattern(to), rights, grantedBy: by, expiresMs: expiresMs ?? null });
}

async function makeDirectory(metadata: MetadataStore, parent: Inode, name: string): Promise<Inode> {
  const [attr] = await metadata.makeDirectories([{ parent, name, mode: 0o755 }], { existing: "fail", owner });
  if (!attr) throw new Error("no directory was made");
  return attr.inode;
}

/** /media/a/b and /media/c */
async function makeTree(metadata: MetadataStore) {
  const store = (await createStore(metadata)).inode;
  const a = await makeDirectory(metadata, store, "a");
  return { store, a, b: await makeDirectory(metadata, a, "b"), c: await makeDirectory(metadata, store, "c") };
}

export function grantsSuite(check: Check): void {
  check("finds what was granted above, the nearest first", async ({ metadata }) => {
    const { store, a, b, c } = await makeTree(metadata);
    await grant(metadata, store, { to: dora, rights: ["read", "share"] });
    await grant(metadata, b, { to: eve });
    await grant(metadata, a, { to: dora, rights: ["write"], by: dora, expiresMs: 5 });
    await grant(metadata, c, { to: fred });
    expect((await metadata.grantsAbove(b)).map(({ inode }) => inode)).toEqual([b, a, store]);
    expect(await metadata.grantsAbove(a)).toMatchObject([
      { inode: a, subject: dora, rights: ["write"], grantedBy: dora, expiresMs: 5 },
      { inode: store, subject: dora, rights: ["read", "share"], grantedBy: owner, expiresMs: null },
    ]);
    // Who is it about: itself, patterns, and those who have granted something.
    const matterTo = async (person: GlobalName) => (await metadata.grantsAbove(b, person)).map(({ subject }) => subject);
    expect(await matterTo(eve)).toEqual([eve, dora, dora].map(parseSubjectPattern));
    expect(await matterTo(fred)).toEqual([dora, dora].map(parseSubjectPattern));
    expect(await metadata.grantsAbove(rootInode)).toEqual([]);
    expect(await metadata.grantsAbove(parseInode(999_999))).toEqual([]);
  });

  check("finds what was granted to somebody, by name or pattern, with the way there", async ({ metadata }) => {
    const { store, a, b, c } = await makeTree(metadata);
    await grant(metadata, b, { to: dora });
    await grant(metadata, c, { to: "*@home.collective.local" });
    await grant(metadata, c, { to: dora, by: eve });
    await grant(metadata, store, { to: bob });
    const ways = async (person: GlobalName) =>
      (await metadata.directoriesGrantedTo(person))
        .map((way) => way.map(({ attr }) => attr.inode))
        .sort((one, two) => two.length - one.length);
    expect(await ways(dora)).toEqual([
      [store, a, b],
      [store, c],
    ]);
    expect(await ways(fred)).toEqual([[store, c]]);
    expect(await ways(bob)).toEqual([[store]]);
    await metadata.remove({ parent: store, name: "c" }, "tree", { by: "dora" });
    expect(await ways(fred)).toEqual([]);
  });

  check("walks as far as a path goes, and back", async ({ metadata }) => {
    const { store, a, b } = await makeTree(metadata);
    const walked = async (...components: string[]) => (await metadata.walk(components)).map(({ inode }) => inode);
    expect(await walked("media", "a", "b")).toEqual([rootInode, store, a, b]);
    expect(await walked("media", "nothing", "b")).toEqual([rootInode, store]);
    expect(await walked()).toEqual([rootInode]);
    expect([await metadata.pathOf(b), await metadata.pathOf(rootInode), await metadata.pathOf(parseInode(999_999))]).toEqual([
      "/media/a/b",
      "/",
      undefined,
    ]);
  });

  check("lists by path, also below a directory alone", async ({ metadata }) => {
    const { store, a, b, c } = await makeTree(metadata);
    for (const inode of [c, b, a, store]) await grant(metadata, inode, { to: dora });
    expect((await metadata.listGrants()).map(({ path }) => path)).toEqual(["/media", "/media/a", "/media/a/b", "/media/c"]);
    expect((await metadata.listGrants(a)).map(({ path }) => path)).toEqual(["/media/a", "/media/a/b"]);
  });

  check("replaces and revokes what the same person granted, and no other", async ({ metadata }) => {
    const { a } = await makeTree(metadata);
    const subject = parseSubjectPattern(dora);
    await grant(metadata, a, { to: dora, rights: ["read", "write"] });
    await grant(metadata, a, { to: dora, rights: ["read"], by: eve });
    await grant(metadata, a, { to: dora, rights: ["delete"] });
    const found = async () => (await metadata.grantsAbove(a)).map(({ grantedBy, rights }) => `${grantedBy} ${rights}`).sort();
    expect(await found()).toEqual([`${owner} delete`, `${eve} read`]);
    await expectCode("not_found", metadata.revokeGrant({ inode: a, subject, grantedBy: fred, by: fred }));
    await metadata.revokeGrant({ inode: a, subject, grantedBy: eve, by: eve });
    expect(await found()).toEqual([`${owner} delete`]);
    await grant(metadata, a, { to: dora, by: eve });
    await metadata.revokeGrant({ inode: a, subject, by: owner });
    expect(await found()).toEqual([]);
    await expectCode("not_found", metadata.revokeGrant({ inode: a, subject, by: owner }));
    await expectCode("invalid_argument", grant(metadata, rootInode, { to: dora }));
  });

  check("voids the tickets of all to whom a right was passed on, and of nobody else", async ({ metadata, clock }) => {
    const { store, a, b } = await makeTree(metadata);
    await grant(metadata, store, { to: dora, rights: ["read", "share"] });
    await grant(metadata, a, { to: bob, rights: ["read", "share"], by: dora });
    await grant(metadata, b, { to: "zoe@attic.collective.local", by: bob });
    await grant(metadata, b, { to: "yves@attic.collective.local" });
    expect(await metadata.listWithdrawals()).toEqual([]);
    await metadata.revokeGrant({ inode: store, subject: parseSubjectPattern(dora), by: owner });
    expect(await metadata.listWithdrawals()).toEqual(
      [bob, dora, "zoe@attic.collective.local"].map((holder) => ({ holder, untilMs: clock.nowMs })),
    );
  });

  check("removes what a revoked person was granted by name and has granted, for whoever has the name next", async ({ metadata, clock }) => {
    const { store, a, b } = await makeTree(metadata);
    const everybody = "*@home.collective.local";
    const publicKeyRaw = new Uint8Array(32).fill(1);
    await metadata.enrol({ kind: "user", name: dora, publicKeyRaw }, owner);
    await grant(metadata, a, { to: everybody, rights: ["read", "share"] });
    await grant(metadata, store, { to: dora });
    await grant(metadata, a, { to: eve, by: dora });
    await grant(metadata, b, { to: bob, by: eve });
    const left = async () => (await metadata.listGrants()).map(({ path, subject, grantedBy }) => `${path} ${subject} ${grantedBy}`);
    await metadata.revokeName({ kind: "node", name: dora }, owner);
    expect(await left()).toHaveLength(4);
    await metadata.revokeName({ kind: "user", name: dora }, owner);
    const kept = [`/media/a ${everybody} ${owner}`, `/media/a/b ${bob} ${eve}`];
    expect(await left()).toEqual(kept);
    expect(await metadata.listWithdrawals()).toEqual([bob, dora, eve].map((holder) => ({ holder, untilMs: clock.nowMs })));
    const recorded = (await metadata.listAudit({ limit: 3 })).map(({ actor, action, subject, details }) => [
      actor,
      action,
      subject,
      details,
    ]);
    expect(recorded.sort()).toEqual(
      [
        [owner, "access.revoked", dora, { path: "/media", granted_by: owner }],
        [owner, "access.revoked", eve, { path: "/media/a", granted_by: dora }],
        [owner, "identity.revoked", dora, { kind: "user" }],
      ].sort(),
    );
    // Of a request that was under way.
    await expectCode("not_authenticated", grant(metadata, a, { to: eve, by: dora }));
    await metadata.enrol({ kind: "user", name: dora, publicKeyRaw: publicKeyRaw.fill(2) }, owner);
    expect(await left()).toEqual(kept);
    await grant(metadata, a, { to: eve, by: dora });
  });

  check("voids the tickets of grants that have ended since", async ({ metadata, clock }) => {
    const { a } = await makeTree(metadata);
    const fromMs = clock.nowMs;
    await grant(metadata, a, { to: dora, rights: ["read", "share"], expiresMs: fromMs + 10 });
    await grant(metadata, a, { to: eve, by: dora });
    await grant(metadata, a, { to: fred, expiresMs: fromMs + 20 });
    await metadata.withdrawEnded(fromMs);
    expect(await metadata.listWithdrawals()).toEqual([]);
    clock.nowMs += 10;
    await metadata.withdrawEnded(fromMs);
    const ended = [dora, eve].map((holder) => ({ holder, untilMs: clock.nowMs }));
    expect(await metadata.listWithdrawals()).toEqual(ended);
    clock.nowMs += 5;
    await metadata.withdrawEnded(fromMs + 10);
    expect(await metadata.listWithdrawals()).toEqual(ended);
  });
}
