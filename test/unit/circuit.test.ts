import { describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { afterAdmission, afterFailure, afterGivingUp, type Circuit, closedCircuit } from "../../src/core/circuit.ts";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import { createCircuitGuard } from "../../src/net/circuit-guard.ts";
import { handClock } from "../support/pki.ts";

const policy = { failuresMax: 3, firstPauseMs: 1_000, pauseMsMax: 30_000 };
/** Delays are the longest there are. */
const longest: Random = { ...createSeededRandom(1), next: () => 1 };
const failing = { policy, random: longest };
const open = (untilMs: number, pauses = 0): Circuit => ({ state: "open", untilMs, pauses });
const halfOpen = (pauses = 0): Circuit => ({ state: "halfOpen", pauses });
const closed = (failures: number): Circuit => ({ state: "closed", failures });

describe("a circuit", () => {
  test.each([
    ["closed lets calls through", closed(2), 0, closed(2)],
    ["open holds them back", open(100), 99, undefined],
    ["open lets one through when its time is up", open(100, 2), 100, halfOpen(2)],
    ["half open lets no second one through", halfOpen(), 1e9, undefined],
  ] as const)("%s", (_, circuit, nowMs, expected) => {
    expect(afterAdmission(circuit, nowMs)).toEqual(expected as Circuit);
  });

  test.each([
    ["counts failures", closed(0), closed(1)],
    ["opens with the last that is allowed", closed(2), open(6_000)],
    ["stays away longer each time", halfOpen(0), open(7_000, 1)],
    ["but not for ever", halfOpen(20), open(35_000, 21)],
    ["hears nothing new from calls that began before", open(5_500), open(5_500)],
  ] as const)("%s", (_, circuit, expected) => {
    expect(afterFailure(circuit, { ...failing, nowMs: 5_000 })).toEqual(expected);
  });

  test("whose one try was given up lets the next one through", () => {
    expect(afterGivingUp(halfOpen(3), 50)).toEqual(open(50, 3));
    expect(afterGivingUp(closed(1), 50)).toEqual(closed(1));
    expect(afterGivingUp(open(90), 50)).toEqual(open(90));
  });

  test("pauses between half and all of what is due, by chance", () => {
    const random = createSeededRandom(5);
    const pauses = Array.from({ length: 200 }, () => {
      const next = afterFailure(halfOpen(1), { policy, random, nowMs: 0 });
      return next.state === "open" ? next.untilMs : 0;
    });
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(2_000);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(4_000);
    expect(new Set(pauses).size).toBeGreaterThan(190);
    expect(closedCircuit).toEqual(closed(0));
  });
});

describe("calls", () => {
  const facts = { peer: "coordinator.garage.collective.local", address: "192.168.1.9:8001" };
  const silence = () => Promise.reject(new CollectiveError("timed_out", "silence"));
  const lost = () => Promise.reject(new CollectiveError("unavailable", "lost", { details: { answered: false } }));
  const refusal = () => Promise.reject(new CollectiveError("permission_denied", "no"));

  test("are held back after failures in a row, then one tries, then all", async () => {
    const clock = handClock(0);
    const guard = createCircuitGuard({ policy, facts, clock, random: longest });
    const code = (call: () => Promise<unknown>, probe = false) =>
      guard(call, { probe }).then(
        () => "answered",
        (error: CollectiveError) => error.code,
      );
    const never = () => Promise.reject(new Error("asked all the same"));
    expect([
      await code(silence),
      await code(lost),
      await code(refusal),
      await code(silence),
      await code(lost),
      await code(silence),
    ]).toEqual(["timed_out", "unavailable", "permission_denied", "timed_out", "unavailable", "timed_out"]);
    await expect(guard(never, {})).rejects.toMatchObject({
      code: "unavailable",
      message: "coordinator.garage.collective.local at 192.168.1.9:8001 has not answered lately; the next try is in 1s",
      details: { sent: false, answered: false },
    });
    clock.nowMs += 1_000;
    const trying = Promise.withResolvers<string>();
    const first = code(() => trying.promise);
    expect(await code(never)).toBe("unavailable");
    trying.resolve("here");
    expect([await first, await code(async () => "here")]).toEqual(["answered", "answered"]);
  });

  test("that watch whether somebody is there are never held back, and an answer to them lets all through", async () => {
    const guard = createCircuitGuard({ policy, facts, clock: handClock(0), random: longest });
    const failed = async (call: () => Promise<never>, probe: boolean) => await guard(call, { probe }).catch(() => undefined);
    for (let times = 0; times < 10; times++) await failed(silence, true);
    expect(await guard(async () => "through", {})).toBe("through");
    for (let times = 0; times < 3; times++) await failed(silence, false);
    await expect(guard(async () => "through", {})).rejects.toMatchObject({ code: "unavailable" });
    expect(await guard(async () => "seen", { probe: true })).toBe("seen");
    expect(await guard(async () => "through", {})).toBe("through");
  });
});
