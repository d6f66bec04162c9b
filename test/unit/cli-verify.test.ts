import { describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import type { ChunkId } from "../../protocol/ids.ts";
import { chunksPerTicketMax, mebibyte } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { statPath } from "../../src/client/files.ts";
import { layoutOf } from "../../src/client/layout.ts";
import { systemRandom } from "../../src/core/random.ts";
import { type CliMember, type CliResult, startCliMember } from "../support/cli.ts";
import { expectFailure } from "../support/e2e-commands.ts";

async function chunksOf(cli: CliMember, path: string): Promise<ChunkId[]> {
  const { inode } = await statPath(cli.remote, path.split("/").slice(1));
  return (await layoutOf(cli.remote, inode)).map((chunk) => chunk.id);
}

async function firstChunk(cli: CliMember, path: string): Promise<ChunkId> {
  const [id] = await chunksOf(cli, path);
  if (id === undefined) throw new Error(`${path} has no chunks`);
  return id;
}

function reportOf(result: CliResult): unknown {
  return JSON.parse(result.stdout);
}

const clean = { bad: 0, missing: 0, unreachable: 0, unrecoverable: [], unverified: [] };

describe("verify", () => {
  test("counts every file, and every chunk and copy once however many files share it", async () => {
    await using cli = await startCliMember({ nodes: 3 });
    await cli.ok(["mkdir", "-p", "/a/deep", "/b"]);
    const many = Array.from({ length: chunksPerTicketMax + 20 }, (_, index) => [`${index}`, `content ${index}`]);
    await cli.putMany("/a/deep", Object.fromEntries(many));
    await cli.put("/a/empty", "");
    await cli.put("/a/large", systemRandom.bytes(9 * mebibyte));
    await cli.ok(["cp", "/a/large", "/a/deep/same"]);
    await cli.ok(["cp", "/a/large", "/b/other"]);
    const ofLarge = (await chunksOf(cli, "/a/large")).length;
    const chunks = many.length + 2 * ofLarge;
    expect(await cli.json(["verify", "-r", "/"])).toEqual({ files: many.length + 4, chunks, copies: 2 * chunks, ...clean });
    expect(await cli.json(["verify", "/a/large"])).toEqual({ files: 1, chunks: ofLarge, copies: 2 * ofLarge, ...clean });
    expect(await cli.json(["verify", "/a/empty"])).toEqual({ files: 1, chunks: 0, copies: 0, ...clean });
    expect(await cli.ok(["verify", "-r", "/a"])).toContain("every copy is good");
  });

  test("a file of more chunks than one answer holds is verified to its end", async () => {
    await using cli = await startCliMember({ nodes: 1 });
    await cli.ok(["mkdir", "/a", "/a/pieces"]);
    const texts = Array.from({ length: 2 * chunksPerTicketMax + 20 }, (_, index) => String(1_000 + index));
    await cli.putMany("/a/pieces", Object.fromEntries(texts.map((text) => [text, text])));
    const ids = await Promise.all(texts.map((text) => firstChunk(cli, `/a/pieces/${text}`)));
    const { inode } = await statPath(cli.remote, ["a"]);
    const extents = ids.map((chunk) => ({ chunk, plainBytes: 4 }));
    const file = { parent: inode, name: "file", mode: 0o644, mtimeNs: 0n, sizeBytes: 4 * ids.length, extents };
    await cli.remote.control.call(routes.commit, { upload: "0123456789abcdef", files: [file], receipts: [], last: true });
    await cli.nodes[0]?.store.delete(ids.slice(-1));
    expect((await cli.run(["verify", "/a/file", "--json"])).stdout).toBe(
      `${JSON.stringify({ files: 1, chunks: ids.length, copies: ids.length, ...clean, missing: 1, unrecoverable: ["/a/file"] }, null, 2)}\n`,
    );
  });

  test("a bad and a missing copy are counted and reported; the file is whole as long as one copy is good", async () => {
    await using cli = await startCliMember();
    await cli.ok(["mkdir", "/a"]);
    await cli.put("/a/bad", "bad");
    await cli.put("/a/missing", "missing");
    const [first, second] = cli.nodes;
    first?.store.damage(await firstChunk(cli, "/a/bad"));
    await second?.store.delete([await firstChunk(cli, "/a/missing")]);
    const result = await cli.run(["verify", "-r", "/a", "--json"]);
    expect(reportOf(result)).toEqual({ files: 2, chunks: 2, copies: 4, ...clean, bad: 1, missing: 1 });
    expect(result.exitCode).toBe(0);
    // The coordinator has looked for itself.
    expect((await cli.json(["stat", "/a/bad"])) as object).toMatchObject({
      chunks: [{ copies: [{ state: "damaged" }, { state: "stored" }] }],
    });
    expect(await cli.json(["status"])).toMatchObject({ totals: { degraded_chunks: 2, lost_chunks: 0 } });
    expect(await cli.ok(["verify", "-r", "/a"])).toContain("every file is whole");
  });

  test("a chunk without a good copy makes every file that has it unrecoverable: exit code 8", async () => {
    await using cli = await startCliMember();
    await cli.ok(["mkdir", "/a", "/a/d"]);
    await cli.put("/a/lost", "lost");
    await cli.put("/a/whole", "whole");
    await cli.ok(["cp", "/a/lost", "/a/d/same"]);
    const id = await firstChunk(cli, "/a/lost");
    for (const node of cli.nodes) node.store.damage(id);
    const result = await cli.run(["verify", "-r", "/a", "--json"]);
    expect(reportOf(result)).toEqual({ files: 3, chunks: 2, copies: 4, ...clean, bad: 2, unrecoverable: ["/a/d/same", "/a/lost"] });
    expectFailure({ ...result, stdout: "" }, { code: "corrupt", says: /2 files cannot be rebuilt/ });
    const shown = await cli.run(["verify", "-r", "/a"]);
    expect(shown.stdout).toContain("cannot be rebuilt:\n  /a/d/same\n  /a/lost\n");
    expect(shown.exitCode).toBe(8);
  });

  test("copies on a node that does not answer are neither bad nor missing", async () => {
    await using cli = await startCliMember();
    await cli.ok(["mkdir", "/a"]);
    await cli.put("/a/both", "both");
    const [first, second] = cli.nodes;
    await second?.kill();
    const one = await cli.run(["verify", "-r", "/a", "--json"]);
    expect(reportOf(one)).toEqual({ files: 1, chunks: 1, copies: 2, ...clean, unreachable: 1 });
    expect(one.exitCode).toBe(0);
    await first?.kill();
    const none = await cli.run(["verify", "-r", "/a", "--json"]);
    expect(reportOf(none)).toEqual({ files: 1, chunks: 1, copies: 2, ...clean, unreachable: 2, unverified: ["/a/both"] });
    expectFailure({ ...none, stdout: "", stderr: lastLines(none.stderr) }, { code: "unavailable", says: /cannot be verified/ });
    expect(await cli.json(["status"])).toMatchObject({ totals: { degraded_chunks: 0 } });
  });

  test("a chunk of a file that was replaced meanwhile is no damage", async () => {
    let replace = async (): Promise<void> => undefined;
    await using cli = await startCliMember({
      wrapHandlers: (handlers) => ({
        ...handlers,
        verifyTickets: async (input, context) => {
          await replace();
          return await handlers.verifyTickets(input, context);
        },
      }),
    });
    await cli.ok(["mkdir", "/a"]);
    await cli.put("/a/file", "before");
    const id = await firstChunk(cli, "/a/file");
    replace = async () => {
      await cli.put("/a/file", "after");
      for (const node of cli.nodes) await node.store.delete([id]);
    };
    expect(await cli.json(["verify", "/a/file"])).toEqual({ files: 1, chunks: 0, copies: 0, ...clean });
  });

  test("a file that vanishes while the tree is walked is left out, the others are verified", async () => {
    let vanish = async (): Promise<void> => undefined;
    await using cli = await startCliMember({
      wrapHandlers: (handlers) => ({
        ...handlers,
        locate: async (input, context) => {
          await vanish();
          return await handlers.locate(input, context);
        },
      }),
    });
    await cli.ok(["mkdir", "/a"]);
    await cli.putMany("/a", { one: "1", two: "2", three: "3" });
    const { inode } = await statPath(cli.remote, ["a"]);
    vanish = async () => {
      vanish = async () => undefined;
      await cli.remote.control.call(routes.remove, { parent: inode, name: "two", kind: "file" });
    };
    expect(await cli.json(["verify", "-r", "/a"])).toEqual({ files: 2, chunks: 2, copies: 4, ...clean });
  });

  test("a directory needs -r, and an error of the coordinator ends the command", async () => {
    await using cli = await startCliMember({
      wrapHandlers: (handlers) => ({
        ...handlers,
        verifyTickets: async () => {
          throw new CollectiveError("permission_denied", "not for you");
        },
      }),
    });
    await cli.ok(["mkdir", "/a"]);
    await cli.put("/a/file", "content");
    expectFailure(await cli.run(["verify", "/a"]), { code: "is_a_directory", says: /\/a is a directory/ });
    expectFailure(await cli.run(["verify", "/nope"]), { code: "not_found", says: /\/nope does not exist/ });
    expectFailure(await cli.run(["verify", "-r", "/a"]), { code: "permission_denied", says: /not for you/ });
  });
});

/** Without what was logged before. */
function lastLines(stderr: string): string {
  return stderr.slice(stderr.indexOf("collective: "));
}
