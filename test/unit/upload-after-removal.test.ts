import { expect, test } from "bun:test";
import { defaultStorePolicy } from "../../protocol/schema.ts";
import { createIngest } from "../../src/client/ingest.ts";
import { readMany } from "../../src/client/read-many.ts";
import { bytesSource } from "../../src/client/sources.ts";
import { memoryMetadata, startTestMember } from "../support/member.ts";

const content = new TextEncoder().encode("the same content");

/** Removes a file from one store and puts its content into `into` while the copies are being deleted. */
async function storeWhileDeleting(into: "the same store" | "another store"): Promise<void> {
  let deletionsFinish = () => Promise.resolve();
  await using member = await startTestMember({
    metadata: (clock) => {
      const metadata = memoryMetadata(clock);
      let looks = 0;
      return {
        ...metadata,
        copiesOf: async (store, chunks) => {
          if (++looks === 3) await deletionsFinish();
          return await metadata.copiesOf(store, chunks);
        },
      };
    },
  });
  const { metadata } = member;
  const nodes = await Promise.all([member.startNode("node-01"), member.startNode("node-02")]);
  const makeStore = (name: string) =>
    metadata.createStore({ name, policy: { ...defaultStorePolicy, encrypt: false }, owner: member.member });
  const [first, second] = [await makeStore("first"), await makeStore("second")];
  const put = async (store: typeof first) => {
    const ingest = createIngest(member.remote());
    const target = { parent: store.inode, name: "file", store: store.inode, mode: 0o644, mtimeNs: 0n };
    const { committed } = await ingest.add(target, bytesSource(content));
    return { totals: await ingest.finish(), attr: await committed };
  };

  await put(first);
  await metadata.remove({ parent: first.inode, name: "file" }, "file", { by: "dora" });
  while (await metadata.reclaim());
  const garbage = await metadata.collectGarbage(100);
  expect(garbage.length).toBe(2);
  let deletions = 0;
  deletionsFinish = async () => {
    deletions++;
    for (const { node, chunks } of garbage) await nodes.find(({ name }) => name === node)?.store.delete(chunks);
    for (const copies of garbage) await metadata.forgetCopies(copies);
  };

  const { totals, attr } = await put(into === "the same store" ? first : second);
  expect(deletions).toBe(1);
  expect(totals).toMatchObject({ files: 1, degradedChunks: 0 });
  expect(await readMany(member.remote(), [attr])).toEqual([content]);
}

test("content that is being deleted is stored again as well as before", () => storeWhileDeleting("the same store"));

test("content whose bytes another store is deleting is stored as well as any", () => storeWhileDeleting("another store"));
