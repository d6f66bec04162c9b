import { describe, expect, test } from "bun:test";
import type { PeerState, PeerSummary } from "../../protocol/federation-routes.ts";
import { parseGlobalName, parseInode } from "../../protocol/ids.ts";
import { gibibyte, nodeDeadAfterMs } from "../../protocol/limits.ts";
import { defaultStorePolicy, type NodeState, type NodeSummary, type Store } from "../../protocol/schema.ts";
import { renderStatus, type StatusPage } from "../../src/cli/output/status.ts";
import { describeTerminal } from "../../src/cli/output/terminal.ts";
import { startCliMember } from "../support/cli.ts";
import { expectFailure } from "../support/e2e-commands.ts";
import { nameAt } from "../support/member.ts";
import { alice } from "../support/pki.ts";

const nowMs = Date.parse("2026-11-21T12:00:00Z");

function nodeNamed(local: string, state: NodeState = "alive"): NodeSummary {
  return {
    name: nameAt(local),
    state,
    address: "192.168.1.20:7001",
    capacityBytes: 10 * gibibyte,
    usedBytes: 9 * gibibyte,
    freeBytes: gibibyte,
    chunkCount: 12_345,
    version: "0.1.0",
    lastSeenMs: state === "alive" ? nowMs - 700 : nowMs - 65_000,
  };
}

function storeNamed(name: string): Store {
  return {
    inode: parseInode(2),
    name,
    owner: alice,
    createdMs: nowMs,
    policy: defaultStorePolicy,
    files: 1_000,
    logicalBytes: gibibyte,
    chunks: 1_000,
    storedBytes: gibibyte,
    degradedChunks: 3,
  };
}

function peerNamed(name: string, state: PeerState = "alive"): PeerSummary {
  const member = parseGlobalName(`${name}@${name}.collective.local`);
  const node = { name: parseGlobalName(`node-01@${name}.collective.local`), address: "192.168.1.30:7001", state: "alive" as const };
  return {
    ...{ member, state, address: "192.168.1.30:8001", introducer: alice, underRoot: false, addedMs: nowMs, latencyMs: 3.42, shares: true },
    nodes: [{ ...node, capacityBytes: 2 * gibibyte, freeBytes: gibibyte }],
    pledge: null,
  };
}

function pageWith(nodes: readonly NodeSummary[], stores: readonly Store[], reasons: readonly string[] = []): StatusPage {
  const status = {
    member: alice,
    address: "192.168.1.20:8001",
    version: "0.1.0",
    uptimeMs: 3_600_000,
    health: reasons.length === 0 ? ("healthy" as const) : ("degraded" as const),
    healthScore: 100,
    reasons: [...reasons],
    nodes: [...nodes],
    totals: { files: 1_000, chunks: 1_000, degradedChunks: 3, lostChunks: 0 },
    elsewhere: { nodes: [], limits: [] },
  };
  return { status, stores, peers: [], latencyMs: 1.23, nowMs };
}

function terminal({ isTTY, columns, noColour }: { isTTY: boolean; columns?: number; noColour?: boolean }) {
  return describeTerminal({ stream: { isTTY, columns, write: () => undefined }, environment: {}, noColour });
}

describe("status", () => {
  test("--json has exactly the shape of the contract", async () => {
    await using cli = await startCliMember();
    await cli.ok(["mkdir", "/s"]);
    await cli.put("/s/file", "content");
    for (const node of cli.nodes) await node.register();
    const node = {
      address: expect.any(String),
      state: "alive",
      total_capacity: 1_000_000_000,
      used_capacity: expect.any(Number),
      chunk_count: 1,
      last_seen: expect.any(String),
    };
    expect(await cli.json(["status"])).toEqual({
      coordinator: {
        member: "alice@home.collective.local",
        address: expect.any(String),
        version: expect.any(String),
        uptime_s: 0,
        health: "healthy",
        health_score: 100,
        reasons: [],
        latency_ms: expect.any(Number),
      },
      local_nodes: [
        { id: "node-01@home.collective.local", ...node },
        { id: "node-02@home.collective.local", ...node },
      ],
      pledge: { pledged: 0, given: 0, taken: 0, share: 0, capacity: 2_000_000_000, give_to_get: 1 },
      peers: [],
      totals: {
        nodes: 2,
        nodes_alive: 2,
        capacity: 2_000_000_000,
        used: expect.any(Number),
        files: 1,
        chunks: 1,
        degraded_chunks: 0,
        lost_chunks: 0,
        repair_queue: 0,
      },
    });
  });

  test("says what is wrong, and another coordinator can be asked", async () => {
    await using cli = await startCliMember();
    cli.member.clock.nowMs += nodeDeadAfterMs;
    await cli.nodes[0]?.register();
    const shown = await cli.ok(["status", "--coordinator", cli.member.address]);
    expect(shown).toContain("degraded, 80 of 100");
    expect(shown).toContain("  - node-02@home.collective.local is dead\n");
    expect(shown).toContain("1 of 2 nodes alive");
    const refused = await cli.run(["status", "--coordinator", "127.0.0.1:1"]);
    expectFailure(refused, { code: "unavailable", says: /cannot reach coordinator\.home\.collective\.local at 127\.0\.0\.1:1/ });
    expectFailure(await cli.run(["status", "--coordinator", "127.0.0.1:0"]), {
      code: "invalid_argument",
      says: /has no port to connect to/,
    });
  });

  test("stays on one page however much there is, and leaves out what is well first", () => {
    const nodes = Array.from({ length: 100 }, (_, index) =>
      nodeNamed(`node-${index}`, index === 77 ? "dead" : index === 78 ? "suspect" : "alive"),
    );
    const stores = Array.from({ length: 50 }, (_, index) => storeNamed(`store-${index}`));
    const reasons = Array.from({ length: 20 }, (_, index) => `reason ${index}`);
    const peers = Array.from({ length: 30 }, (_, index) => peerNamed(`peer-${index}`, index === 13 ? "dead" : "alive"));
    const lines = renderStatus({ ...pageWith(nodes, stores, reasons), peers }, terminal({ isTTY: false })).split("\n");
    expect(lines.length).toBeLessThanOrEqual(40);
    const first = lines.findIndex((line) => line.startsWith("NODE"));
    expect(lines[first + 1]).toMatch(/^node-77 +dead .* 1m 05s ago/);
    expect(lines[first + 2]).toMatch(/^node-78 +suspect/);
    expect(lines).toContain("… and 90 more");
    expect(lines).toContain("… and 44 more");
    expect(lines).toContain("… and 24 more");
    const peer = lines.findIndex((line) => line.startsWith("MEMBER"));
    expect(lines[peer + 1]).toMatch(/^peer-13@peer-13\S+ +dead +3\.4 ms +1 of 1 +2\.0 GiB +introduced by alice@/);
    expect(lines[peer + 2]).toMatch(/^peer-0@peer-0\S+ +alive/);
    expect(lines.at(-1)).toBe("98 of 100 nodes alive; 900 GiB of 1000 GiB used; 1,000 files; 1,000 chunks, 3 degraded, 0 lost");
  });

  test("shows a new collective without empty tables", () => {
    const lines = renderStatus(pageWith([], []), terminal({ isTTY: false })).split("\n");
    expect(lines[0]).toBe("alice@home.collective.local  healthy, 100 of 100");
    expect(lines[1]).toBe("coordinator at 192.168.1.20:8001, version 0.1.0, up 1h, answers in 1.2 ms");
    expect(lines).toHaveLength(4);
  });

  test("colours mean something, and are off where nobody wants them", () => {
    const page = pageWith([nodeNamed("node-01"), nodeNamed("node-02", "dead")], [storeNamed("s")], ["a reason"]);
    const coloured = renderStatus(page, terminal({ isTTY: true, columns: 120 }));
    expect(coloured).toContain("\x1b[31mdead\x1b[39m");
    expect(coloured).toContain("\x1b[32malive\x1b[39m");
    expect(coloured).toContain("\x1b[33mdegraded, 100 of 100\x1b[39m");
    expect(coloured.split("\n").every((line) => Bun.stringWidth(line) <= 120)).toBe(true);
    expect(renderStatus(page, terminal({ isTTY: true, columns: 120, noColour: true }))).not.toContain("\x1b");
  });
});
