/** What a mount shows when news comes late: of changes of its own whose answer it did not wait for, and of others' that it meets before it is told. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { routes } from "../../protocol/routes.ts";
import { defaultStorePolicy } from "../../protocol/schema.ts";
import type { Call, Place } from "../../src/vfs/file-system.ts";
import { content } from "../support/content.ts";
import { until } from "../support/e2e-commands.ts";
import { startTestMember, type TestMember } from "../support/member.ts";
import { expectCode, owner } from "../support/metadata.ts";
import { call, openTestFileSystem, type TestFileSystem } from "../support/vfs.ts";

let member: TestMember;
/** Called when a change is made; the answer comes when the promise is. */
let answering: (() => Promise<void>) | undefined;
/** News waits for it. */
let telling: Promise<void> | undefined;
let mount: TestFileSystem;

beforeAll(async () => {
  member = await startTestMember({
    wrapHandlers: (handlers) => ({
      ...handlers,
      commit: (...given) => handlers.commit(...given).finally(() => answering?.()),
      remove: (...given) => handlers.remove(...given).finally(() => answering?.()),
      rename: (...given) => handlers.rename(...given).finally(() => answering?.()),
      setAttr: (...given) => handlers.setAttr(...given).finally(() => answering?.()),
      watch: async (...given) => {
        const news = await handlers.watch(...given);
        await telling;
        return news;
      },
      open: (...given) => handlers.open(...given).finally(() => answering?.()),
    }),
  });
  await member.startNode("node-01");
  await member.metadata.createStore({ name: "s", policy: { ...defaultStorePolicy, replicas: 1 }, owner });
  mount = await openTestFileSystem({ remote: member.remote() });
});
afterAll(async () => {
  await mount[Symbol.asyncDispose]();
  await member[Symbol.asyncDispose]();
});

/** The caller is interrupted when the coordinator has done what it was asked, and before that is known here. */
async function interrupted(act: (call: Call) => unknown): Promise<void> {
  const caller = new AbortController();
  const answer = Promise.withResolvers<void>();
  answering = () => {
    caller.abort();
    return answer.promise;
  };
  await expectCode("cancelled", (async () => await act({ ...call, signal: caller.signal }))());
  answering = undefined;
  answer.resolve();
}

/** A directory that was made here: names that it lacks are not asked for. */
async function directory(name: string): Promise<void> {
  await mount.fs.makeDirectory(call, await mount.place(`/s/${name}`), 0o755);
  await until(
    async () => (await mount.find(`/s/${name}`))?.nameValidMs ?? 0,
    (ms) => ms > 1_000,
  );
}

const asFile = { access: "read_write", append: false, truncate: false, synchronous: false, direct: false, clearSetIds: false } as const;

describe("a change of which nobody knows whether it was made", () => {
  test("shows as it is: a file that was created", async () => {
    await directory("created");
    const place = await mount.place("/s/created/file");
    await interrupted((given) => mount.fs.create(given, place, { ...asFile, mode: 0o644, exclusive: true }));
    expect(await mount.find("/s/created/file")).toBeDefined();
  });

  test("shows as it is: a file that was removed, and one that was moved", async () => {
    await directory("gone");
    await mount.writeFile("/s/gone/one", content(10, 1));
    await mount.writeFile("/s/gone/two", content(10, 2));
    const [one, two, three] = [await mount.place("/s/gone/one"), await mount.place("/s/gone/two"), await mount.place("/s/gone/three")];
    await interrupted((given) => mount.fs.unlink(given, one));
    await interrupted((given) => mount.fs.rename(given, two, three, "replace"));
    expect(await mount.names("/s/gone")).toEqual(["three"]);
    expect(await mount.find("/s/gone/three")).toBeDefined();
    // So that the kernel asks again, should it be made yet.
    expect((await mount.find("/s/gone/three"))?.nameValidMs).toBeLessThanOrEqual(1_000);
  });

  test("shows as it is: attributes", async () => {
    await directory("changed");
    await mount.writeFile("/s/changed/file", content(10, 1));
    const inode = (await mount.find("/s/changed/file"))?.attributes.inode ?? 0;
    await interrupted((given) => mount.fs.setAttributes(given, inode, { mode: 0o600, clearSetIds: false }));
    expect((await mount.fs.getAttributes(call, inode)).attributes.mode).toBe(0o600);
  });
});

test("a file whose opening was given up is not held for ever", async () => {
  await mount.writeFile("/s/opened", content(10, 1));
  await using other = await openTestFileSystem({ remote: member.remote() });
  const inode = (await other.find("/s/opened"))?.attributes.inode ?? 0;
  await interrupted((given) => other.fs.open(given, inode, { ...asFile, access: "read" }));
  await mount.fs.unlink(call, await mount.place("/s/opened"));
  await until(
    () =>
      member
        .client()
        .call(routes.getAttr, { inode })
        .then(
          () => "there",
          (error) => error.code,
        ),
    (answer) => answer === "not_found",
  );
});

test("a name that another client took from a file is dropped, also when the file is met by its new name before that is told", async () => {
  await using other = await openTestFileSystem({ remote: member.remote() });
  await other.fs.makeDirectory(call, await other.place("/s/moved"), 0o755);
  await other.writeFile("/s/moved/before", content(10, 1));
  const dropped: string[] = [];
  const quiet = async (): Promise<void> => undefined;
  const dropName = async ({ name }: Place): Promise<void> => void dropped.push(name);
  mount.fs.attach({ dropAttributes: quiet, dropData: quiet, dropFile: async () => true, dropName });
  const [from, to] = [await other.place("/s/moved/before"), await other.place("/s/moved/after")];
  await mount.find("/s/moved/before");
  const told = Promise.withResolvers<void>();
  telling = told.promise;
  await other.fs.rename(call, from, to, "replace");
  expect(await mount.find("/s/moved/after")).toBeDefined();
  expect(dropped).toContain("before");
  telling = undefined;
  told.resolve();
});
