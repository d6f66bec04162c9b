/**
 * A process to be killed: stores chunks of all kinds from several writers at once, deletes some again,
 * and prints `+id` and `-id` after each was acknowledged. Arguments: folder, seed.
 */
import { writeSync } from "node:fs";
import { inlineStoredBytesMax } from "../../protocol/limits.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { testChunk } from "../conformance/chunk-store.ts";
import { openDiskStore } from "../support/disk-store.ts";

const [dir = "", seed = "0"] = process.argv.slice(2);
const store = await openDiskStore(dir);
const random = createSeededRandom(Number(seed));

async function writer(): Promise<void> {
  for (;;) {
    const bytes = random.int(2) === 0 ? 1 + random.int(8_000) : inlineStoredBytesMax + 1 + random.int(200_000);
    const { id, data } = testChunk(bytes, random.int(2 ** 32));
    await store.put(id, data);
    writeSync(1, `+${id}\n`);
    if (random.int(8) > 0) continue;
    // Said before it begins: from now on it may be gone.
    writeSync(1, `-${id}\n`);
    await store.delete([id]);
  }
}
await Promise.all(Array.from({ length: 8 }, writer));
