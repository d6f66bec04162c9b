/** What people with few rights see: the way to what they have, nothing beside it, and no difference between hidden and missing. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rootInode } from "../../protocol/ids.ts";
import type { RouteName } from "../../protocol/routes.ts";
import { routes } from "../../protocol/routes.ts";
import { completePath } from "../../src/client/complete-path.ts";
import { makeDirectoryPath } from "../../src/client/directories.ts";
import { nodesShown } from "../../src/client/nodes-shown.ts";
import { ownPaths } from "../support/cli.ts";
import { foreignCredentials } from "../support/member.ts";
import { failureOf, newUpload, owner } from "../support/metadata.ts";
import { garage } from "../support/pki.ts";
import { callers, nodeName, type RightsWorld, startRightsWorld } from "../support/rights-world.ts";

let world: RightsWorld;
beforeAll(async () => {
  world = await startRightsWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const missing = 999_999;

async function namesIn(kind: keyof RightsWorld["clients"], inode: number, page: { after?: string; limit?: number } = {}): Promise<string> {
  const { entries, more } = await world.clients[kind].call(routes.list, { inode, limit: 100, ...page });
  return `${entries.map(({ name }) => name).join(" ")}${more ? " …" : ""}`;
}

describe("a listing", () => {
  test("shows of a directory on the way nothing but the way", async () => {
    expect(await namesIn("administrator", 1)).toBe("private shared");
    expect(await namesIn("reader", 1)).toBe("shared");
    expect(await namesIn("reader", world.shared)).toBe("open");
    expect(await namesIn("dropper", world.shared)).toBe("drop");
    expect(await namesIn("reader", world.open.directory)).toBe("file sub");
    for (const kind of ["person without grants", "holder of an expired grant", "person with a grant from one who may not share"] as const) {
      expect(await namesIn(kind, 1)).toBe("");
    }
  });

  test("comes in pages that are right, sorted by the names' bytes", async () => {
    const { metadata } = world.member;
    const person = callers["person without grants"].identity.name;
    // UTF-16 would put the last but one behind the last.
    const names = ["a", "b", "ä", "\u{ff5e}", "\u{1f600}"];
    const made = await metadata.makeDirectories(
      names.map((name) => ({ parent: world.private.directory, name, mode: 0o755 })),
      { existing: "fail", owner },
    );
    for (const { inode } of made) {
      await metadata.grant({ inode, subject: person as never, rights: ["write"], grantedBy: owner, expiresMs: null });
    }
    const list = (page: { after?: string; limit?: number }) => namesIn("person without grants", world.private.directory, page);
    expect(await list({})).toBe(names.join(" "));
    expect(await list({ limit: 2 })).toBe("a b …");
    expect(await list({ limit: 3, after: "b" })).toBe("ä \u{ff5e} \u{1f600}");
    expect(await list({ limit: 2, after: "b" })).toBe("ä \u{ff5e} …");
    expect(await list({ after: "aa" })).toBe("b ä \u{ff5e} \u{1f600}");
    expect(await list({ after: "\u{1f600}" })).toBe("");
    for (const { inode } of made) await metadata.revokeGrant({ inode, subject: person as never, by: owner });
  });

  test("of stores shows those with something in them, and numbers to those who may read it all", async () => {
    const stores = async (kind: keyof RightsWorld["clients"]) => (await world.clients[kind].call(routes.listStores, {})).stores;
    expect((await stores("administrator")).map(({ name, files }) => [name, typeof files])).toEqual([
      ["private", "number"],
      ["shared", "number"],
    ]);
    expect(await stores("reader")).toMatchObject([{ name: "shared", files: null, logicalBytes: null, storedBytes: null, chunks: null }]);
    expect(await stores("person without grants")).toEqual([]);
  });

  test("of grants shows those one may pass on, and those to oneself", async () => {
    const grants = async (kind: keyof RightsWorld["clients"], inode?: number) =>
      (await world.clients[kind].call(routes.listAccess, { inode })).grants.map(
        (grant) => `${grant.path} ${grant.subject.split("@")[0]} ${grant.inForce}`,
      );
    expect((await grants("administrator")).length).toBe(8);
    expect(await grants("reader")).toEqual(["/shared/open rosa read"]);
    expect((await grants("sharer")).filter((line) => line.startsWith("/shared/open")).length).toBe(7);
    expect((await grants("sharer")).filter((line) => !line.startsWith("/shared/open"))).toEqual([]);
    expect(await grants("dropper")).toEqual(["/shared/drop drew write"]);
    expect(await grants("holder of an expired grant")).toEqual([]);
    expect(await grants("person with a grant from one who may not share")).toEqual([]);
    expect(await grants("sharer", world.open.sub)).toEqual([]);
  });
});

test("the machines are shown to people of the own site, and to others files alone", async () => {
  const { member } = world;
  const nodesFor = async (kind: keyof typeof callers) => {
    const { identity } = callers[kind];
    const isForeign = identity.name.endsWith(garage);
    const credentials = isForeign
      ? await foreignCredentials(member, identity, world.garageAuthority)
      : await member.credentialsOf(identity);
    return (await nodesShown(member.remote({ credentials })))?.nodes.map(({ name }) => name);
  };
  expect(await nodesFor("person without grants")).toEqual([nodeName]);
  expect(await nodesFor("person of another member who may read")).toBeUndefined();
});

describe("what is hidden", () => {
  const hidden: readonly (readonly [route: RouteName, of: (inode: number, world: RightsWorld) => unknown])[] = [
    ["list", (inode) => ({ inode, limit: 10 })],
    ["getAttr", (inode) => ({ inode })],
    ["makeDirectories", (parent) => ({ directories: [{ parent, name: "x", mode: 0o755 }], existing: "keep" })],
    ["makeSymlinks", (parent) => ({ links: [{ parent, name: "x", target: "y", mtimeNs: 1n }] })],
    ["setAttr", (inode) => ({ inode, mode: 0o600 })],
    ["remove", (parent) => ({ parent, name: "file", kind: "file" })],
    ["rename", (parent) => ({ from: { parent, name: "file" }, to: { parent, name: "x" }, replace: true })],
    ["clone", (source, { open }) => ({ source, to: { parent: open.directory, name: "x" }, replace: true })],
    ["usage", (inode) => ({ inode })],
    ["layout", (inode) => ({ inode, after: -1, limit: 1 })],
    ["locate", (inode) => ({ files: [{ inode, offset: 0, lengthBytes: 1 }] })],
    [
      "commit",
      (parent) => ({
        upload: newUpload(),
        files: [{ parent, name: "x", mode: 1, mtimeNs: 1n, sizeBytes: 0, extents: [] }],
        receipts: [],
        last: true,
      }),
    ],
    ["allocate", (store) => ({ upload: newUpload(), store, chunks: [], exclude: [], receipts: [] })],
    ["verifyTickets", (store) => ({ store, chunks: ["ab".repeat(32)] })],
    ["reportCopies", (store) => ({ store, node: nodeName, chunks: ["ab".repeat(32)] })],
    ["storeKey", (store) => ({ store })],
    ["grantAccess", (inode) => ({ inode, subject: owner, rights: ["read"] })],
    ["listAccess", (inode) => ({ inode })],
    ["revokeAccess", (inode) => ({ inode, subject: owner })],
  ];
  for (const [name, inputOf] of hidden) {
    test(`is refused by ${name} in the same words as what does not exist`, async () => {
      const said = async (inode: number) => {
        const { code, message, hint, details } = await failureOf(world.clients.editor.call(routes[name], inputOf(inode, world) as never));
        return { code, message, hint, details };
      };
      const ofMissing = await said(missing);
      expect(ofMissing.code).toBe("not_found");
      for (const inode of [world.closed.directory, world.closed.file, world.private.directory])
        expect(await said(inode)).toEqual(ofMissing);
    });
  }

  test("looks by its path like what does not exist", async () => {
    const say = async (...components: string[]) => {
      const answer = await world.clients.editor.call(routes.resolve, { components }).catch((error: { message: string }) => error.message);
      return typeof answer === "string" ? answer : [answer.parent?.inode, answer.attr];
    };
    expect(await say("private")).toEqual([rootInode, null]);
    expect(await say("shared", "closed")).toEqual([world.shared, null]);
    expect(await say("shared", "closed", "file")).toBe("/shared/closed does not exist");
    expect(await say("shared", "nothing", "file")).toBe("/shared/nothing does not exist");
    expect(await say("private", "file", "x")).toBe("/private does not exist");
  });
});

describe("a refusal", () => {
  test("of what is visible names the right, the path and who can grant it", async () => {
    const error = await failureOf(world.clients.reader.call(routes.setAttr, { inode: world.open.file, mode: 0o600 }));
    expect(error).toMatchObject({
      code: "permission_denied",
      message: "rosa@home.collective.local has not been granted write on /shared/open/file",
      hint: "alice@home.collective.local can grant it: collective access grant /shared/open/file rosa@home.collective.local --rights write",
    });
  });

  test("in the root says whose it is", async () => {
    const error = await failureOf(
      world.clients.editor.call(routes.makeDirectories, { directories: [{ parent: 1, name: "mine", mode: 0o755 }], existing: "fail" }),
    );
    expect(error.message).toBe("only alice@home.collective.local may make or change datastores in the root");
  });
});

describe("granting", () => {
  const { sharer, reader } = callers;
  const grant = (rights: string[], validityMs?: number) =>
    world.clients.sharer.call(routes.grantAccess, {
      inode: world.open.sub,
      subject: reader.identity.name,
      rights: rights as never,
      validityMs,
    });

  test("is for no longer than one has the right oneself", async () => {
    const { metadata, clock } = world.member;
    const own = {
      inode: world.open.directory,
      subject: sharer.identity.name as never,
      rights: ["read", "share"] as const,
      grantedBy: owner,
    };
    const untilMs = clock.nowMs + 60_000;
    await metadata.grant({ ...own, expiresMs: untilMs });
    expect((await grant(["read"])).expiresMs).toBe(untilMs);
    expect((await grant(["read"], 60_000)).expiresMs).toBe(untilMs);
    expect((await grant(["read"], 59_000)).expiresMs).toBe(untilMs - 1_000);
    expect((await failureOf(grant(["read"], 60_001))).message).toMatch(/has these rights until/);
    expect((await failureOf(grant(["read", "delete"]))).message).toMatch(/has not been granted delete there/);
    await metadata.grant({ ...own, expiresMs: null });
    expect((await grant(["share", "read"], 3_600_000)).inForce).toEqual(["read", "share"]);
  });

  test("takes no effect any more when the granter has lost share", async () => {
    const { metadata } = world.member;
    const inode = (
      await metadata.makeDirectories([{ parent: world.closed.directory, name: "lent", mode: 0o755 }], { existing: "keep", owner })
    )[0]?.inode;
    if (inode === undefined) throw new Error("no directory was made");
    const lend = (rights: readonly ("read" | "share")[]) =>
      metadata.grant({ inode, subject: sharer.identity.name as never, rights, grantedBy: owner, expiresMs: null });
    await lend(["read", "share"]);
    const subject = callers["person without grants"].identity.name;
    await world.clients.sharer.call(routes.grantAccess, { inode, subject, rights: ["read"] });
    expect((await world.clients["person without grants"].call(routes.getAttr, { inode })).inode).toBe(inode);
    await lend(["read"]);
    expect((await failureOf(world.clients["person without grants"].call(routes.getAttr, { inode }))).code).toBe("not_found");
    expect((await world.clients.administrator.call(routes.listAccess, { inode })).grants.map(({ inForce }) => inForce)).toEqual(
      expect.arrayContaining([["read"], []]),
    );
    // It may still take back what it granted.
    await world.clients.sharer.call(routes.revokeAccess, { inode, subject });
  });

  test("goes with its directory", async () => {
    const before = (await world.clients.administrator.call(routes.listAccess, {})).grants.length;
    await world.clients.administrator.call(routes.remove, { parent: world.closed.directory, name: "lent", kind: "tree" });
    expect((await world.clients.administrator.call(routes.listAccess, {})).grants.length).toBe(before - 1);
  });
});

test("a path is made and completed by who may see the beginning of it", async () => {
  const { member } = world;
  const remote = member.remote({ credentials: await member.credentialsOf(callers.writer.identity) });
  const made = await makeDirectoryPath(remote, ["shared", "open", "new", "deep"]);
  expect(await member.metadata.pathOf(made.inode)).toBe("/shared/open/new/deep");
  expect((await makeDirectoryPath(remote, ["shared", "open", "new", "deep"])).inode).toBe(made.inode);
  expect((await failureOf(makeDirectoryPath(remote, ["shared", "new"]))).code).toBe("permission_denied");
  expect((await failureOf(makeDirectoryPath(remote, ["shared", "open", "file"]))).code).toBe("already_exists");
  expect((await failureOf(makeDirectoryPath(remote, ["shared", "open", "file", "x"]))).code).toBe("not_a_directory");
  expect(await completePath(ownPaths(remote), "/")).toEqual(["/shared/"]);
  expect(await completePath(ownPaths(remote), "/shared/")).toEqual(["/shared/open/"]);
  expect(await completePath(ownPaths(remote), "/private/")).toEqual([]);
  const dropping = member.remote({ credentials: await member.credentialsOf(callers.dropper.identity) });
  expect(await completePath(ownPaths(dropping), "/shared/drop/")).toEqual([]);
});
