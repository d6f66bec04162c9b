import { describe, expect, test } from "bun:test";
import { type GlobalName, globalName, parseLocalName } from "../../protocol/ids.ts";
import { heartbeatIntervalMs, nodeDeadAfterMs, nodeSuspectAfterMs } from "../../protocol/limits.ts";
import type { Heartbeat } from "../../protocol/schema.ts";
import { requireAdministrator, requirePersonOfSite } from "../../src/coordinator/access.ts";
import { createNodeDirectory, nodeStateAfter, requireNode } from "../../src/coordinator/directory.ts";
import { silentLog } from "../../src/core/log.ts";
import type { MetadataStore } from "../../src/meta/store.ts";
import type { Caller } from "../../src/net/control-app.ts";
import { memoryMetadata } from "../support/member.ts";
import { expectCode } from "../support/metadata.ts";
import { alice, bob, garage, type HandClock, handClock, home } from "../support/pki.ts";

function nodeCaller(local: string, key = 1): Caller {
  return { kind: "node", name: globalName(parseLocalName(local), home), publicKeyRaw: new Uint8Array(32).fill(key), serial: "" };
}

const heartbeat: Heartbeat = {
  address: "10.0.0.1:7001",
  capacityBytes: 1_000,
  usedBytes: 100,
  freeBytes: 900,
  chunkCount: 3,
  version: "0.1.0",
};

function setUp(): { clock: HandClock; metadata: MetadataStore } {
  const clock = handClock(1_700_000_000_000);
  return { clock, metadata: memoryMetadata(clock) };
}

const revocations = { isRevoked: () => false };

const open = ({ clock, metadata }: { clock: HandClock; metadata: MetadataStore }) =>
  createNodeDirectory({ metadata, revocations, clock, log: silentLog });

test("silence turns into suspicion and then into death", () => {
  const table: readonly (readonly [number, string])[] = [
    [0, "alive"],
    [heartbeatIntervalMs, "alive"],
    [nodeSuspectAfterMs - 1, "alive"],
    [nodeSuspectAfterMs, "suspect"],
    [nodeDeadAfterMs - 1, "suspect"],
    [nodeDeadAfterMs, "dead"],
    [Number.MAX_SAFE_INTEGER, "dead"],
  ];
  for (const [silenceMs, state] of table) expect(String(nodeStateAfter(silenceMs))).toBe(state);
});

describe("the directory of nodes", () => {
  test("follows a node through silence and back", async () => {
    const around = setUp();
    const directory = await open(around);
    await directory.record(nodeCaller("node-01"), heartbeat);
    const name = nodeCaller("node-01").name;
    expect(directory.list()).toMatchObject([{ ...heartbeat, name, state: "alive", lastSeenMs: around.clock.nowMs }]);
    around.clock.nowMs += nodeSuspectAfterMs;
    expect(directory.get(name)?.state).toBe("suspect");
    around.clock.nowMs += nodeDeadAfterMs;
    expect(directory.get(name)?.state).toBe("dead");
    await directory.record(nodeCaller("node-01"), { ...heartbeat, usedBytes: 200 });
    expect(directory.get(name)).toMatchObject({ state: "alive", usedBytes: 200 });
    expect(directory.get("node-09@home.collective.local" as GlobalName)).toBeUndefined();
  });

  test("is known after a restart of the coordinator, and every node gets the benefit of the doubt", async () => {
    const around = setUp();
    const before = await open(around);
    await before.record(nodeCaller("node-01"), heartbeat);
    await before.record(nodeCaller("node-02", 2), { ...heartbeat, address: "10.0.0.2:7001" });
    await before.record(nodeCaller("node-01"), { ...heartbeat, usedBytes: 555 });
    await before.persist();
    around.clock.nowMs += 100 * nodeDeadAfterMs;
    const after = await open(around);
    expect(after.list().map(({ name, state, usedBytes, address }) => ({ name, state, usedBytes, address }))).toEqual([
      { name: nodeCaller("node-01").name, state: "alive", usedBytes: 555, address: "10.0.0.1:7001" },
      { name: nodeCaller("node-02").name, state: "alive", usedBytes: 100, address: "10.0.0.2:7001" },
    ]);
    expect(after.get(nodeCaller("node-02").name)?.publicKeyRaw).toEqual(new Uint8Array(32).fill(2));
    around.clock.nowMs += nodeDeadAfterMs;
    expect(after.list().map(({ state }) => state)).toEqual(["dead", "dead"]);
  });

  test("writes a new address or key down before it says so", async () => {
    const around = setUp();
    const directory = await open(around);
    await directory.record(nodeCaller("node-01"), heartbeat);
    expect(await around.metadata.listNodes()).toMatchObject([{ address: "10.0.0.1:7001" }]);
    await directory.record(nodeCaller("node-01"), { ...heartbeat, address: "10.0.0.9:7001" });
    expect(await around.metadata.listNodes()).toMatchObject([{ address: "10.0.0.9:7001" }]);
    around.clock.nowMs += nodeDeadAfterMs;
    await directory.record(nodeCaller("node-01", 7), { ...heartbeat, address: "10.0.0.9:7001" });
    expect((await around.metadata.listNodes())[0]?.publicKeyRaw).toEqual(new Uint8Array(32).fill(7));
  });

  test("gives a name to another key only when the node that has it is dead", async () => {
    const around = setUp();
    const directory = await open(around);
    await directory.record(nodeCaller("node-01"), heartbeat);
    const other = nodeCaller("node-01", 2);
    const refused = async (state: string): Promise<void> => {
      const { message } = await expectCode("conflict", directory.record(other, { ...heartbeat, address: "10.0.0.2:7001" }));
      expect(message).toContain(`there is another ${other.name}: it is ${state} at 10.0.0.1:7001`);
      expect(await around.metadata.listNodes()).toMatchObject([{ address: "10.0.0.1:7001", publicKeyRaw: new Uint8Array(32).fill(1) }]);
    };
    await refused("alive");
    around.clock.nowMs += nodeSuspectAfterMs;
    await refused("suspect");
    await directory.record(nodeCaller("node-01"), heartbeat);
    await refused("alive");
    around.clock.nowMs += nodeDeadAfterMs;
    await directory.record(other, { ...heartbeat, address: "10.0.0.2:7001" });
    expect(directory.get(other.name)).toMatchObject({ state: "alive", address: "10.0.0.2:7001", publicKeyRaw: other.publicKeyRaw });
    // Back after all, it is the stranger now.
    await expectCode("conflict", directory.record(nodeCaller("node-01"), heartbeat));
  });

  test("does not judge by the calendar", async () => {
    const around = setUp();
    let monotonicMs = 0;
    const clock = { ...around.clock, monotonicMs: () => monotonicMs, wallMs: () => around.clock.nowMs };
    const directory = await createNodeDirectory({ metadata: around.metadata, revocations, clock, log: silentLog });
    await directory.record(nodeCaller("node-01"), heartbeat);
    around.clock.nowMs += 365 * 86_400_000;
    expect(directory.list()[0]?.state).toBe("alive");
    around.clock.nowMs = 0;
    monotonicMs = nodeDeadAfterMs;
    expect(directory.list()[0]?.state).toBe("dead");
  });
});

describe("access", () => {
  const person = (name: GlobalName): Caller => ({ kind: "user", name, publicKeyRaw: new Uint8Array(32), serial: "" });
  const dora = globalName(parseLocalName("dora"), home);

  test("to files is for people of the own site", async () => {
    requirePersonOfSite(person(alice), alice);
    requirePersonOfSite(person(dora), alice);
    for (const caller of [person(bob), { ...person(alice), kind: "node" as const }, { ...person(alice), kind: "coordinator" as const }]) {
      await expectCode("permission_denied", () => requirePersonOfSite(caller, alice));
    }
  });

  test("to certificates is for the member alone", async () => {
    requireAdministrator(person(alice), alice);
    const impostor = globalName(parseLocalName("alice"), garage);
    for (const caller of [person(dora), person(bob), person(impostor)])
      await expectCode("permission_denied", () => requireAdministrator(caller, alice));
  });

  test("to heartbeats is for the own site's nodes", async () => {
    requireNode(nodeCaller("node-01"), home);
    await expectCode("permission_denied", () => requireNode(nodeCaller("node-01"), garage));
    await expectCode("permission_denied", () => requireNode(person(alice), home));
  });
});
