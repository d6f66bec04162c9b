import { expect, test } from "bun:test";
import { createUpload, type PreparedChunk } from "../../src/client/upload.ts";
import { sealChunk } from "../../src/codec/sealed-chunk.ts";
import { startTestMember } from "../support/member.ts";

function chunkOf(text: string): PreparedChunk {
  const { id, stored, codec } = sealChunk(new TextEncoder().encode(text), { keys: undefined, out: new Uint8Array(4096) });
  return { id, data: stored, codec };
}

test("receipts are shown with every call until one that carried them was answered", async () => {
  const answers = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const asked = Promise.withResolvers<void>();
  let allocations = 0;
  answers[0]?.resolve();
  await using member = await startTestMember({
    wrapHandlers: (handlers) => ({
      ...handlers,
      allocate: async (input, context) => {
        const at = allocations++;
        if (at === 1) asked.resolve();
        await answers[at]?.promise;
        return await handlers.allocate(input, context);
      },
    }),
  });
  await member.startNode("node-01");
  const [attr] = await member.metadata.makeDirectories([{ parent: 1 as never, name: "s", mode: 0o755 }], {
    existing: "fail",
    owner: member.member,
  });
  if (!attr) throw new Error("no store");
  const upload = createUpload(member.remote());
  const shown = () => upload.showReceipts((receipts) => Promise.resolve(receipts.length));

  await upload.store(attr.inode, [chunkOf("first")]);
  // The second allocation carries the first chunk's receipt. A commit that overtakes it must carry it as well.
  const second = upload.store(attr.inode, [chunkOf("second")]);
  await asked.promise;
  const receiptsWhileAsked = await upload.showReceipts(async (receipts) => {
    answers[1]?.resolve();
    await second;
    return receipts.length;
  });
  expect(receiptsWhileAsked).toBe(1);
  expect(await shown()).toBe(1);
  expect(await shown()).toBe(0);
});
