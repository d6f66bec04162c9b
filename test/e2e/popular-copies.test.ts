/** A file of a `media` store that many read gets more copies, as a person sees it: by the executable alone, in seconds. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { content } from "../support/content.ts";
import { type FileStatus, statusOf, succeed, until } from "../support/e2e-commands.ts";
import { startCollective } from "../support/process.ts";

const copyCounts = ({ chunks }: FileStatus): number[] =>
  chunks.map(({ copies }) => copies.filter((copy) => copy.state === "stored").length);

test("a file that is read often gets copies up to the limit, whole ones, and one that is not keeps its own", async () => {
  await using collective = await startCollective({ nodes: 5, capacity: "1GB" });
  const plain = content(3_000_000, 8);
  const [file, fetched] = [join(collective.home.path, "film"), join(collective.home.path, "fetched")];
  writeFileSync(file, plain);
  await succeed(collective, ["store", "create", "films", "--strategy", "media", "--replicas", "2"]);
  await succeed(collective, ["put", file, "/films/popular"]);
  writeFileSync(file, content(3_000_000, 9));
  await succeed(collective, ["put", file, "/films/quiet"]);
  for (let i = 0; i < 18; i++) await succeed(collective, ["read", "/films/popular"]);
  const status = await until(
    () => statusOf(collective, "/films/popular"),
    (now) => copyCounts(now).every((copies) => copies === 4),
    { timeoutMs: 40_000, pollMs: 250 },
  );
  expect(status.chunks.length).toBeGreaterThan(1);
  expect(copyCounts(await statusOf(collective, "/films/quiet")).every((copies) => copies === 2)).toBe(true);
  const { stdout } = await succeed(collective, ["verify", "-r", "/films", "--json"]);
  expect(JSON.parse(stdout)).toMatchObject({ bad: 0, missing: 0, copies: status.chunks.length * 6 });
  // Two nodes may go now that would have been all the copies before.
  const [first] = status.chunks;
  const kept = first?.copies[0]?.node.split("@")[0];
  const others = collective.nodes.filter(({ name }) => name !== kept && first?.copies.some(({ node }) => node.startsWith(`${name}@`)));
  for (const node of others.slice(0, 2)) await node.process.kill();
  await succeed(collective, ["get", "/films/popular", fetched]);
  expect(Buffer.compare(readFileSync(fetched), plain)).toBe(0);
});
