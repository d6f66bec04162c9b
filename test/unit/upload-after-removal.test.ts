import { expect, test } from "bun:test";
import { createIngest } from "../../src/client/ingest.ts";
import { bytesSource } from "../../src/client/sources.ts";
import { memoryMetadata, startTestMember } from "../support/member.ts";

test("content that is being deleted is stored again as well as before", async () => {
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
  await Promise.all([member.startNode("node-01"), member.startNode("node-02")]);
  const [store] = await metadata.makeDirectories([{ parent: 1 as never, name: "s", mode: 0o755 }], {
    existing: "fail",
    owner: member.member,
  });
  if (!store) throw new Error("no store");
  const put = async (name: string) => {
    const ingest = createIngest(member.remote());
    const target = { parent: store.inode, name, store: store.inode, mode: 0o644, mtimeNs: 0n };
    await ingest.add(target, bytesSource(new TextEncoder().encode("the same content")));
    return await ingest.finish();
  };

  await put("before");
  await metadata.remove({ parent: store.inode, name: "before" }, "file");
  while (await metadata.reclaim());
  const garbage = await metadata.collectGarbage(100);
  expect(garbage.length).toBe(2);
  deletionsFinish = async () => {
    for (const copies of garbage) await metadata.forgetCopies(copies);
  };
  expect(await put("after")).toMatchObject({ files: 1, degradedChunks: 0 });
});
