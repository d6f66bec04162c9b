/** Calls of the control API over time: answers that do not come, certificates that change, servers that stop. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { rootInode } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import { systemRandom } from "../../src/core/random.ts";
import { createControlClient } from "../../src/net/control-client.ts";
import type { Authority } from "../../src/pki/authority.ts";
import { assembleCredentials } from "../../src/pki/credentials.ts";
import { foreignCredentials as foreign, nameAt, startTestMember, type TestMember } from "../support/member.ts";
import { sampleInputs } from "../support/messages.ts";
import { createStore, expectCode, failureOf } from "../support/metadata.ts";
import { alice, authorityOf, bob, garage, home, leafOf } from "../support/pki.ts";

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
    // The one is asked again by the client if its answer is lost, the other is not.
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
  test("is repeated only where that changes nothing", async () => {
    const calls = { getAttr: 0, remove: 0, rename: 0 };
    const fail = (name: keyof typeof calls) => () => {
      calls[name]++;
      return Promise.reject(new CollectiveError("unavailable", "not now"));
    };
    await using other = await startTestMember({
      wrapHandlers: (handlers) => ({
        ...handlers,
        getAttr: (input, context) => (calls.getAttr < 2 ? fail("getAttr")() : handlers.getAttr(input, context)),
        remove: fail("remove"),
        rename: fail("rename"),
      }),
    });
    const client = other.client();
    expect((await client.call(routes.getAttr, { inode: rootInode })).inode).toBe(rootInode);
    await expectCode("unavailable", client.call(routes.remove, sampleInputs.remove));
    await expectCode("unavailable", client.call(routes.rename, sampleInputs.rename));
    expect(calls).toEqual({ getAttr: 2, remove: 1, rename: 1 });
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
