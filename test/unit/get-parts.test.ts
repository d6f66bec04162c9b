/** What a `get` that was killed has left beside its targets, and what the next one makes of it. */
import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { largeChunkBytes } from "../../protocol/limits.ts";
import { statPath } from "../../src/client/files.ts";
import { partPath } from "../../src/client/get-tree.ts";
import { startCliMember } from "../support/cli.ts";
import { content } from "../support/content.ts";

test("parts that a killed get -r has left are taken up or removed by the next one", async () => {
  await using cli = await startCliMember();
  const contents = {
    small: content(3_000, 1),
    "read-only": content(3_001, 2),
    replaced: content(3_002, 3),
    medium: content(300_000, 4),
    large: content(5 * largeChunkBytes + 9, 5),
    there: content(3_003, 6),
  };
  await cli.ok(["mkdir", "-p", "/s/tree"]);
  for (const [name, bytes] of Object.entries(contents))
    await cli.put(`/s/tree/${name}`, bytes, { mode: name === "read-only" ? 0o444 : 0o644 });
  const local = join(cli.dir, "tree");
  mkdirSync(local);
  const partOf = async (name: string): Promise<string> => partPath(join(local, name), await statPath(cli.remote, ["s", "tree", name]));
  const leave = async (name: string, bytes: Uint8Array, mode = 0o600): Promise<void> => {
    writeFileSync(await partOf(name), bytes, { mode });
    chmodSync(await partOf(name), mode);
  };
  await leave("small", new Uint8Array(10));
  await leave("read-only", contents["read-only"], 0o444);
  await leave("replaced", contents.replaced);
  await leave("medium", contents.medium.subarray(0, 70_000));
  await leave("large", contents.large.subarray(0, 3 * largeChunkBytes + 5), 0o444);
  await leave("there", contents.there);
  contents.replaced = content(2_000, 7);
  await cli.put("/s/tree/replaced", contents.replaced);
  const { mtimeNs } = await statPath(cli.remote, ["s", "tree", "there"]);
  writeFileSync(join(local, "there"), contents.there);
  utimesSync(join(local, "there"), Number(mtimeNs / 1_000n) / 1e6, Number(mtimeNs / 1_000n) / 1e6);
  const somebodyElses = ".collective-part-0123456789abcdef-0123456789abcdef";
  writeFileSync(join(local, somebodyElses), "of a file that is not fetched");

  await cli.ok(["get", "-r", "/s/tree/.", local]);
  expect(readdirSync(local).sort()).toEqual([somebodyElses, ...Object.keys(contents)].sort());
  for (const [name, bytes] of Object.entries(contents)) expect(Buffer.compare(readFileSync(join(local, name)), bytes)).toBe(0);
  expect(statSync(join(local, "read-only")).mode & 0o777).toBe(0o444);
});
