/** Calls of the control API over time: answers that do not come, certificates that change, servers that stop. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { rootInode } from "../../protocol/ids.ts";
import { formatRequestId } from "../../protocol/request-id.ts";
import { routes } from "../../protocol/routes.ts";
import { defaultStorePolicy } from "../../protocol/schema.ts";
import { systemRandom } from "../../src/core/random.ts";
import type { ChangeContext } from "../../src/net/control-app.ts";
import { createControlClient } from "../../src/net/control-client.ts";
import type { Authority } from "../../src/pki/authority.ts";
import { assembleCredentials } from "../../src/pki/credentials.ts";
import { foreignCredentials as foreign, nameAt, startTestMember, type TestMember } from "../support/member.ts";
import { sampleInputs } from "../support/messages.ts";
import { createStore, expectCode, failureOf, namesIn } from "../support/metadata.ts";
import { alice, authorityOf, bob, garage, home, leafOf } from "../support/pki.ts";

const notNow = () => new CollectiveError("unavailable", "not now");

let member: TestMember;
let garageAuthority: Authority;

beforeAll(async () => {
  garageAuthority = await authorityOf(garage);
  member = await startTestMember({ trusted: [garageAuthority.certificatePem] });
});
afterAll(() => member[Symbol.asyncDispose]());

describe("reloading", () => {
  test("loses no request", async () => {
    await using other = await startTestMember();
    const client = other.client();
    let stop = false;
    let done = 0;
    const failures: unknown[] = [];
    // The one may be made twice, the other is known by its id.
    const store = await createStore(other.metadata);
    const itself = { parent: rootInode, name: store.name };
    const calls = [
      () => client.call(routes.getAttr, { inode: rootInode }),
      () => client.call(routes.rename, { from: itself, to: itself, replace: true }),
    ];
    const asking = Array.from({ length: 8 }, async (_, index) => {
      while (!stop) {
        await calls[index % 2]?.().then(
          () => done++,
          (error: unknown) => failures.push(error),
        );
      }
    });
    const fresh = () => other.credentialsOf({ kind: "coordinator", name: alice }, { trusted: [garageAuthority.certificatePem] });
    for (let round = 0; round < 5; round++) {
      const before = done;
      other.server.reload(await fresh());
      // A new connection meets the new certificate, an old one goes on.
      expect((await other.client().call(routes.getAttr, { inode: rootInode })).inode).toBe(rootInode);
      while (done < before + 50 && failures.length === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    stop = true;
    await Promise.all(asking);
    expect(failures).toEqual([]);
    expect(done).toBeGreaterThan(200);
  });

  test("takes effect on connections that are open", async () => {
    await using other = await startTestMember();
    const own = await foreign(other, { kind: "user", name: bob }, garageAuthority);
    const both = assembleCredentials({
      certificatePem: own.certificatePem,
      privateKeyPem: own.privateKeyPem,
      authorityPem: garageAuthority.certificatePem,
      trustedAuthorityPems: [other.authority.certificatePem],
    });
    const client = other.client(both);
    const asked = () => failureOf(client.call(routes.status, {}));
    expect((await asked()).code).toBe("not_authenticated");
    // Known from here on, though nothing was shared with it; and then not any more.
    other.server.reload(await other.credentialsOf({ kind: "coordinator", name: alice }, { trusted: [garageAuthority.certificatePem] }));
    expect((await asked()).code).toBe("permission_denied");
    other.server.reload(await other.credentialsOf({ kind: "coordinator", name: alice }));
    expect((await asked()).code).toBe("not_authenticated");
  });
});

describe("a call", () => {
  test("that is refused for now is repeated a few times", async () => {
    let refusals = 0;
    await using other = await startTestMember({
      wrapHandlers: (handlers) => ({
        ...handlers,
        getAttr: (input, context) => (refusals++ < 2 ? Promise.reject(notNow()) : handlers.getAttr(input, context)),
        remove: () => {
          refusals++;
          return Promise.reject(notNow());
        },
      }),
    });
    const client = other.client();
    expect((await client.call(routes.getAttr, { inode: rootInode })).inode).toBe(rootInode);
    expect(refusals).toBe(3);
    refusals = 0;
    await expectCode("unavailable", client.call(routes.remove, sampleInputs.remove));
    expect(refusals).toBe(4);
  });

  test("whose answer was lost is repeated, and takes effect once", async () => {
    const asked = new Map<string, number>();
    const losing =
      <I, O>(handler: (input: I, context: ChangeContext) => Promise<O>) =>
      async (input: I, context: ChangeContext): Promise<O> => {
        const answer = await handler(input, context);
        const id = formatRequestId(context.request);
        asked.set(id, (asked.get(id) ?? 0) + 1);
        if (asked.get(id) !== 3) throw notNow();
        return answer;
      };
    await using other = await startTestMember({
      wrapHandlers: ({ createStore, makeDirectories, rename, remove, removeStore, ...handlers }) => ({
        ...handlers,
        createStore: losing(createStore),
        makeDirectories: losing(makeDirectories),
        rename: losing(rename),
        remove: losing(remove),
        removeStore: losing(removeStore),
      }),
    });
    const client = other.client();
    const store = await client.call(routes.createStore, { name: "media", policy: defaultStorePolicy });
    const at = (name: string) => ({ parent: store.inode, name });
    // Side by side, so that each has to keep its answers apart from the others'.
    const made = await Promise.all(
      ["a", "b", "c", "d"].map((name) =>
        client.call(routes.makeDirectories, { directories: [{ ...at(name), mode: 0o755 }], existing: "fail" }),
      ),
    );
    expect(new Set(made.map(({ attrs }) => attrs[0]?.inode)).size).toBe(4);
    await client.call(routes.rename, { from: at("a"), to: at("e"), replace: false });
    await client.call(routes.remove, { ...at("b"), kind: "directory" });
    expect(await namesIn(other.metadata, store.inode)).toEqual(["c", "d", "e"]);
    expect(await client.call(routes.removeStore, { name: "media", dryRun: false })).toMatchObject({ directories: 4 });
    expect(await other.metadata.listStores()).toEqual([]);
    expect([...asked.values()]).toEqual(Array(8).fill(3));
  });

  test("goes on for as long as a restart takes, with a coordinator that has answered before", async () => {
    const other = await startTestMember();
    const own = await other.credentialsOf({ kind: "user", name: alice });
    let waitedMs = 0;
    const clock = {
      ...other.clock,
      sleep: async (ms: number) => {
        waitedMs += ms;
      },
    };
    const server = { kind: "coordinator", name: alice } as const;
    const client = createControlClient({ address: other.address, server, credentials: () => own, clock, random: systemRandom });
    await client.call(routes.getAttr, { inode: rootInode });
    await other[Symbol.asyncDispose]();
    await expectCode("unavailable", client.call(routes.remove, sampleInputs.remove));
    expect(waitedMs).toBeGreaterThan(5_000);
    expect(waitedMs).toBeLessThan(20_000);
  });

  test("to nobody is repeated whatever it is, for it was never sent", async () => {
    const other = await startTestMember();
    await other[Symbol.asyncDispose]();
    let sleeps = 0;
    const clock = { ...other.clock, wallMs: () => Date.now(), sleep: async () => void sleeps++ };
    const own = await other.credentialsOf({ kind: "user", name: alice });
    const client = createControlClient({
      address: other.address,
      server: { kind: "coordinator", name: alice },
      credentials: () => own,
      clock,
      random: systemRandom,
    });
    const error = await expectCode("unavailable", client.call(routes.remove, sampleInputs.remove));
    expect(error.details.sent).toBe(false);
    expect(sleeps).toBeGreaterThan(0);
  });

  test("that is not answered in time is given up, at both ends", async () => {
    const { promise: abandoned, resolve } = Promise.withResolvers<void>();
    await using other = await startTestMember({
      wrapHandlers: (handlers) => ({
        ...handlers,
        getAttr: (_, { signal }) =>
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => {
              resolve();
              reject(new CollectiveError("cancelled", "cancelled"));
            });
          }),
      }),
    });
    const client = other.client();
    await expectCode("timed_out", client.call(routes.getAttr, { inode: rootInode }, { timeoutMs: 100 }));
    await abandoned;
    const stop = new AbortController();
    const waiting = expectCode("cancelled", client.call(routes.getAttr, { inode: rootInode }, { signal: stop.signal }));
    stop.abort();
    await waiting;
    // The connection is as good as before.
    expect((await client.call(routes.resolve, { components: [] })).attr?.inode).toBe(rootInode);
  });

  test("to somebody else in the coordinator's place is not made", async () => {
    const own = await member.credentialsOf({ kind: "user", name: nameAt("dora") });
    const elsewhere = createControlClient({
      address: member.address,
      server: { kind: "node", name: nameAt("node-01") },
      credentials: () => own,
      clock: member.clock,
      random: systemRandom,
    });
    await expectCode("not_authenticated", elsewhere.call(routes.getAttr, { inode: rootInode }));
    const otherHome = await authorityOf(home);
    const { certificatePem, privateKeyPem } = await leafOf(otherHome, { kind: "user", name: alice });
    const misled = assembleCredentials({ certificatePem, privateKeyPem, authorityPem: otherHome.certificatePem, trustedAuthorityPems: [] });
    await expectCode("not_authenticated", member.client(misled).call(routes.getAttr, { inode: rootInode }));
    const unknown = await foreign(member, { kind: "user", name: bob }, garageAuthority);
    const strangerOnly = assembleCredentials({ ...unknown, authorityPem: garageAuthority.certificatePem, trustedAuthorityPems: [] });
    await expectCode("not_authenticated", () => member.client(strangerOnly).call(routes.getAttr, { inode: rootInode }));
  });
});

test("stopping ends open connections and may be asked for twice", async () => {
  const other = await startTestMember();
  const client = other.client();
  await client.call(routes.getAttr, { inode: rootInode });
  await Promise.all([other.server.stop(), other.server.stop()]);
  expect((await failureOf(client.call(routes.getAttr, { inode: rootInode }))).code).toBe("unavailable");
  await other[Symbol.asyncDispose]();
});
