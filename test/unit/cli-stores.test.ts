import { describe, expect, test } from "bun:test";
import { nodeDeadAfterMs } from "../../protocol/limits.ts";
import { systemRandom } from "../../src/core/random.ts";
import { startCliMember } from "../support/cli.ts";
import { expectFailure } from "../support/e2e-commands.ts";

describe("store", () => {
  test("is created with the policy that was asked for, and with the default for the rest", async () => {
    await using cli = await startCliMember();
    const flags = ["--strategy", "media", "--replicas", "3", "--quota", "5GB", "--min-members", "2", "--no-encrypt"];
    expect(await cli.json(["store", "create", "films", ...flags])).toMatchObject({
      name: "films",
      owner: "alice@home.collective.local",
      strategy: "media",
      redundancy: "replicas 3",
      quota: 5_000_000_000,
      min_members: 2,
      encrypt: false,
      files: 0,
      size: 0,
    });
    expect(await cli.ok(["store", "create", "/plain"])).toBe("created plain: hybrid, replicas 2, encrypted, no quota\n");
    expect(await cli.json(["store", "list"])).toMatchObject([{ name: "films" }, { name: "plain", encrypt: true, quota: null }]);
    expect(await cli.ok(["ls", "/"])).toBe("films/\nplain/\n");
    expect(await cli.ok(["store", "list"])).toMatch(/films +media +replicas 3 +no +0 +0 B/);
  });

  test("set changes what is named and nothing else; a quota can go again", async () => {
    await using cli = await startCliMember();
    await cli.ok(["store", "create", "s", "--strategy", "backup", "--quota", "1GB"]);
    expect(await cli.json(["store", "set", "s", "--replicas", "1"])).toMatchObject({
      redundancy: "replicas 1",
      strategy: "backup",
      quota: 1e9,
    });
    expect(await cli.json(["store", "set", "/s/", "--quota", "none"])).toMatchObject({ redundancy: "replicas 1", quota: null });
    expectFailure(await cli.run(["store", "set", "s"]), { code: "invalid_argument", says: /nothing to change/ });
    expectFailure(await cli.run(["store", "set", "s", "--no-encrypt"]), {
      code: "invalid_argument",
      says: /there is no flag --no-encrypt/,
    });
  });

  test("whether it is encrypted cannot be changed, also not past the command line", async () => {
    await using cli = await startCliMember();
    await cli.ok(["store", "create", "s"]);
    const { routes } = await import("../../protocol/routes.ts");
    const change = cli.remote.control.call(routes.setStore, { name: "s", policy: { encrypt: false } });
    await expect(change).rejects.toMatchObject({ code: "unsupported" });
    await cli.remote.control.call(routes.setStore, { name: "s", policy: { encrypt: true, replicas: 1 } });
  });

  test("show tells policy, usage and what is left of the quota", async () => {
    await using cli = await startCliMember();
    await cli.ok(["store", "create", "s", "--quota", "100KiB", "--replicas", "3"]);
    await cli.put("/s/file", systemRandom.bytes(50 * 1024));
    const shown = await cli.ok(["store", "show", "s"]);
    expect(shown).toContain("replicas 3: every chunk on 3 different nodes");
    expect(shown).toContain("100 KiB, 50.0 KiB left");
    expect(shown).toContain(" 50 %");
    expect(shown).toContain("1 chunk with fewer copies than asked for");
    expect(await cli.json(["store", "show", "/s"])).toMatchObject({ files: 1, size: 51_200, chunks: 1, degraded_chunks: 1 });
    expectFailure(await cli.run(["store", "show", "t"]), { code: "not_found", says: /no datastore named t/ });
  });

  test("show tells how much more fits, why not more and what would help; the figure is that of df", async () => {
    await using cli = await startCliMember({ nodes: 0 });
    for (const [index, capacityBytes] of [3e9, 2e9, 10e9].entries()) await cli.member.startNode(`node-0${index + 1}`, { capacityBytes });
    await cli.ok(["store", "create", "s", "--quota", "8GB", "--min-members", "2"]);
    const shown = (await cli.json(["store", "show", "s"])) as { available: number; limits: string[]; raise: string[] };
    expect(shown).toMatchObject({
      available: 5e9,
      limits: ["node-03 has 4.7 GiB that nothing can pair with", "copies should be at 2 members, and only one has nodes"],
      raise: ["add 4.7 GiB on other nodes", "add nodes of another member"],
    });
    const df = (await cli.json(["df"])) as { stores: { available: number }[] };
    expect(df.stores.map(({ available }) => available)).toEqual([shown.available]);
    const text = await cli.ok(["store", "show", "s"]);
    expect(text).toMatch(
      /^available +4\.7 GiB\nbecause +node-03 has 4\.7 GiB that .+\n +copies should be .+\nfor more +add 4\.7 GiB on other nodes\n/m,
    );
  });

  test("a chunk whose copy is on a dead node is degraded", async () => {
    await using cli = await startCliMember({ nodes: 2 });
    await cli.ok(["mkdir", "/s"]);
    await cli.put("/s/file", "content");
    expect(await cli.json(["store", "show", "s"])).toMatchObject({ degraded_chunks: 0 });
    cli.member.clock.nowMs += nodeDeadAfterMs;
    await cli.nodes[0]?.register();
    expect(await cli.json(["store", "show", "s"])).toMatchObject({ degraded_chunks: 1 });
    expect(await cli.json(["status"])).toMatchObject({ totals: { nodes: 2, nodes_alive: 1, degraded_chunks: 1, lost_chunks: 0 } });
  });

  test("remove --dry-run says what would go; without it all goes", async () => {
    await using cli = await startCliMember();
    await cli.ok(["mkdir", "-p", "/s/d"]);
    await cli.put("/s/d/file", "content");
    expect(await cli.ok(["store", "remove", "s", "--dry-run"])).toBe("would remove s: 1 file and 1 directory, 7 B\n");
    expect(await cli.ok(["ls", "-R", "/s"])).toBe("d/\nd/file\n");
    expect(await cli.json(["store", "remove", "s"])).toMatchObject({ name: "s", removed: true, files: 1, size: 7 });
    expect(await cli.ok(["ls", "/"])).toBe("");
    expectFailure(await cli.run(["store", "remove", "s"]), { code: "not_found", says: /no datastore named s/ });
  });

  const mistakes: readonly (readonly [readonly string[], Parameters<typeof expectFailure>[1]])[] = [
    [["create"], { code: "invalid_argument", says: /NAME is missing/ }],
    [["create", "x", "--replicas", "0"], { code: "invalid_argument", says: /--replicas is a number from 1 to 16/ }],
    [["create", "x", "--replicas", "2.5"], { code: "invalid_argument", says: /--replicas is a number/ }],
    [["create", "x", "--min-members", "65"], { code: "invalid_argument", says: /--min-members is a number from 1 to 64/ }],
    [["create", "x", "--quota", "0"], { code: "invalid_argument", says: /--quota is more than 0/ }],
    [["create", "x", "--quota", "5G"], { code: "invalid_argument", says: /"5G" has no clear unit/ }],
    [["create", "x", "--strategy", "fast"], { code: "invalid_argument", says: /--strategy is one of media, backup, hybrid/ }],
    [["create", "x", "--erasure", "4+2"], { code: "unsupported", says: /erasure coding is not possible yet/ }],
    [["create", "a/b"], { code: "invalid_argument", says: /cannot contain \// }],
    [["create", "s"], { code: "already_exists", says: /the datastore s exists already/ }],
    [["set", "nope", "--replicas", "2"], { code: "not_found", says: /no datastore named nope/ }],
    [["frob"], { code: "invalid_argument", says: /there is no command "frob"/ }],
  ];
  test("mistakes are told in one line and change nothing", async () => {
    await using cli = await startCliMember({ nodes: 0 });
    await cli.ok(["mkdir", "/s"]);
    for (const [args, expected] of mistakes) expectFailure(await cli.run(["store", ...args]), expected);
    expect(await cli.ok(["ls", "/"])).toBe("s/\n");
  });
});

describe("df", () => {
  test("adds up nodes, and says for each datastore how much more fits with all its copies", async () => {
    await using cli = await startCliMember({ nodes: 2 });
    await cli.ok(["store", "create", "two"]);
    await cli.ok(["store", "create", "three", "--replicas", "3"]);
    await cli.ok(["store", "create", "one", "--replicas", "1", "--quota", "1kB"]);
    await cli.put("/one/file", "12345");
    for (const node of cli.nodes) await node.register();
    const report = (await cli.json(["df"])) as {
      total: { free: number };
      nodes: { id: string }[];
      stores: { name: string; available: number }[];
    };
    expect(report.nodes.map(({ id }) => id)).toEqual(["node-01@home.collective.local", "node-02@home.collective.local"]);
    expect(report).toMatchObject({ total: { capacity: 2e9 } });
    expect(report.stores.map(({ name }) => name)).toEqual(["one", "three", "two"]);
    expect(report.stores.map(({ available }) => available)).toEqual([995, 0, Math.floor(1e9 - (2e9 - report.total.free))]);
    expect(await cli.ok(["df"])).toMatch(/node-02 +alive/);
  });
});
