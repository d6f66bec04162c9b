/** What others are told of changes: by every route that makes one, only as far as they may read, and that all may have changed when too much has. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseInode } from "../../protocol/ids.ts";
import { type Route, type RouteName, routes } from "../../protocol/routes.ts";
import { defaultStorePolicy } from "../../protocol/schema.ts";
import { createChangeRing } from "../../src/coordinator/change-ring.ts";
import { alice } from "../support/pki.ts";
import { type Case, rows } from "../support/rights-rows.ts";
import { type RightsWorld, startRightsWorld } from "../support/rights-world.ts";

let world: RightsWorld;
beforeAll(async () => {
  world = await startRightsWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

/** What the cases of each in the rights matrix tell others; a new route does not compile without. */
const told: { readonly [K in RouteName]: readonly ("content" | "names" | "rights")[] } = {
  ...{ resolve: [], list: [], getAttr: [], lookup: [], rightsOn: [], usage: [], layout: [], extendedAttributes: [] },
  makeDirectories: ["content", "names"],
  makeSymlinks: ["content", "names"],
  makeNode: ["content", "names"],
  link: ["content", "names"],
  remove: ["content", "names"],
  rename: ["content", "names"],
  exchange: ["content", "names"],
  clone: ["content", "names"],
  commit: ["content", "names"],
  setAttr: ["content"],
  setExtendedAttribute: ["content"],
  removeExtendedAttribute: ["content"],
  ...{ open: [], hold: [], yieldLease: [], makeDurable: [], lock: [], testLock: [], release: [], watch: [] },
  ...{ allocate: [], locate: [], verifyTickets: [], reportCopies: [] },
  createStore: ["content", "names"],
  /** Its case removes nothing. */
  removeStore: [],
  ...{ listStores: [], setStore: [], storeKey: [] },
  grantAccess: ["rights"],
  revokeAccess: ["rights"],
  ...{ listAccess: [], heartbeat: [], status: [], renewCertificate: [], issueCertificate: [] },
  ...{ gossip: [], addPeer: [], connectPeer: [], removePeer: [], listPeers: [], findPeer: [], showPledge: [], setPledge: [], host: [] },
  ...{ createInvite: [], listInvites: [], revokeInvite: [], revoke: [], listAudit: [] },
};

describe("told to others of what is done by", () => {
  for (const name of Object.keys(routes) as RouteName[]) {
    // These two end what the others need.
    if (name === "revoke" || name === "removePeer") continue;
    test(name, async () => {
      const { changes } = world.member.service;
      const route: Route = routes[name];
      const kinds = new Set<string>();
      let succeeded = 0;
      const cases = rows[name] as readonly Case<RouteName>[];
      for (const { input: inputFor } of cases) {
        const input = await inputFor(world, "administrator");
        const { cursor } = changes.read(null);
        succeeded += await world.clients.administrator.call(route, input).then(
          () => 1,
          () => 0,
        );
        const made = changes.read(cursor).changes;
        if (made === undefined) throw new Error("some of what was changed is forgotten");
        for (const { kind } of made) kinds.add(kind);
      }
      if (cases.some(({ ok }) => ok.includes("administrator"))) expect(succeeded).toBeGreaterThan(0);
      expect([...kinds].sort()).toEqual([...told[name]].sort());
    });
  }
});

test("told to others of a datastore that goes", async () => {
  const { changes, metadata } = world.member.service;
  const store = await metadata.createStore({ name: "goes", policy: defaultStorePolicy, owner: alice });
  const { cursor } = changes.read(null);
  await world.clients.administrator.call(routes.removeStore, { name: "goes", dryRun: false });
  expect(changes.read(cursor).changes).toContainEqual({
    inode: store.inode,
    store: store.inode,
    kind: "names",
    session: expect.any(String),
  });
});

describe("a client that watches", () => {
  test("is told what others do and not what it does itself", async () => {
    const { member, open } = world;
    const [one, other] = [member.client(), member.client()];
    const { cursor } = await one.call(routes.watch, { since: null });
    await one.call(routes.setAttr, { inode: open.file, mode: 0o600 });
    await other.call(routes.makeDirectories, { directories: [{ parent: open.directory, name: "told", mode: 0o755 }], existing: "fail" });
    const news = await one.call(routes.watch, { since: cursor });
    expect(news.reset).toBe(false);
    expect(news.changed).toContain(open.directory);
    expect(news.changed).not.toContain(open.file);
    expect((await other.call(routes.watch, { since: cursor })).changed).toContain(open.file);
  });

  test("is answered as soon as something happens", async () => {
    const { member, open } = world;
    const one = member.client();
    const { cursor } = await one.call(routes.watch, { since: null });
    const news = one.call(routes.watch, { since: cursor });
    await member.client().call(routes.setAttr, { inode: open.file, mode: 0o640 });
    expect((await news).changed).toEqual([open.file]);
  });

  test("is told of datastores in which it may read, and to believe nothing when its rights change", async () => {
    const { member, clients } = world;
    const { reader } = clients;
    const { cursor } = await reader.call(routes.watch, { since: null });
    const { inode: hidden } = await member.client().call(routes.createStore, {
      name: "not-for-readers",
      policy: defaultStorePolicy,
    });
    await member.client().call(routes.setAttr, { inode: world.open.file, mode: 0o600 });
    const news = await reader.call(routes.watch, { since: cursor });
    expect(news.changed).toContain(world.open.file);
    expect([...news.changed, ...news.renamed]).not.toContain(hidden);
    await clients.administrator.call(routes.grantAccess, { inode: hidden, subject: alice, rights: ["read"] });
    expect((await reader.call(routes.watch, { since: news.cursor })).reset).toBe(true);
  });

  test("is told to believe nothing by a coordinator that does not know where it was", async () => {
    const { reset, cursor } = await world.clients.reader.call(routes.watch, { since: { epoch: "of another life", at: 3 } });
    expect(reset).toBe(true);
    expect(cursor.epoch).not.toBe("of another life");
  });
});

test("the ring tells what it has, and that some of it is forgotten", () => {
  const ring = createChangeRing(4);
  const change = (inode: number) => ({ inode: parseInode(inode), store: 2, kind: "content" as const, session: undefined });
  for (let inode = 10; inode < 16; inode++) ring.add(change(inode));
  expect(ring.next).toBe(6);
  expect(ring.since(2, 10)?.map(({ inode }) => Number(inode))).toEqual([12, 13, 14, 15]);
  expect(ring.since(3, 2)?.map(({ inode }) => Number(inode))).toEqual([13, 14]);
  expect(ring.since(6, 10)).toEqual([]);
  expect(ring.since(1, 10)).toBeUndefined();
  expect(ring.since(7, 10)).toBeUndefined();
});
