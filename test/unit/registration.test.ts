import { describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { heartbeatIntervalMs } from "../../protocol/limits.ts";
import type { Heartbeat } from "../../protocol/schema.ts";
import { silentLog } from "../../src/core/log.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import type { ControlClient } from "../../src/net/control-client.ts";
import { startRegistration } from "../../src/node/registration.ts";
import { createWithdrawals } from "../../src/node/withdrawals.ts";
import { until } from "../support/content.ts";
import { handClock } from "../support/pki.ts";

const heartbeat: Heartbeat = { address: "10.0.0.1:7001", capacityBytes: 10, usedBytes: 1, freeBytes: 9, chunkCount: 1, version: "0.1.0" };

/** A coordinator that answers as the test says, and a clock that waits until it is told to go on. */
function setUp() {
  const waits: { ms: number; go: () => void }[] = [];
  const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const cancel = (): void => reject(new CollectiveError("cancelled", "cancelled"));
      if (signal?.aborted) return cancel();
      signal?.addEventListener("abort", cancel);
      waits.push({ ms, go: resolve });
    });
  let answer: () => Promise<unknown> = () => Promise.resolve({ nowMs: 0, coordinatorCertificatePem: "pem" });
  let beats = 0;
  const coordinator: ControlClient = {
    call: () => {
      beats++;
      return answer() as never;
    },
  };
  const seen: string[] = [];
  let refuse = false;
  const registration = startRegistration({
    coordinator,
    describe: () => heartbeat,
    withdrawals: createWithdrawals(),
    onCoordinator: (pem) => {
      if (refuse) throw new CollectiveError("not_authenticated", "not who it should be");
      seen.push(pem);
    },
    clock: { ...handClock(), sleep },
    random: createSeededRandom(1),
    log: silentLog,
  });
  const turn = async (): Promise<number> => {
    await until(() => waits.length > 0, "the node to wait");
    const wait = waits.shift();
    wait?.go();
    return wait?.ms ?? 0;
  };
  return {
    registration,
    seen,
    turn,
    beats: () => beats,
    become: (next: () => Promise<unknown>): void => {
      answer = next;
    },
    distrust: (value: boolean): void => {
      refuse = value;
    },
  };
}

describe("a node", () => {
  test("tells its coordinator every second that it is there", async () => {
    const { registration, seen, turn, beats } = setUp();
    await registration.registered;
    for (let i = 0; i < 3; i++) expect(await turn()).toBe(heartbeatIntervalMs);
    await until(() => beats() === 4, "the fourth heartbeat");
    expect(seen.every((pem) => pem === "pem")).toBe(true);
    await registration.stop();
    expect(beats()).toBe(4);
  });

  test("keeps trying with backoff while the coordinator is away, and is back at once when it is", async () => {
    const { registration, turn, become } = setUp();
    await registration.registered;
    become(() => Promise.reject(new CollectiveError("unavailable", "away")));
    await turn();
    const delaysMs: number[] = [];
    for (let i = 0; i < 12; i++) delaysMs.push(await turn());
    expect(delaysMs[0]).toBeLessThanOrEqual(250);
    expect(Math.max(...delaysMs)).toBeLessThanOrEqual(5_000);
    expect(Math.min(...delaysMs.slice(6))).toBeGreaterThanOrEqual(2_500);
    become(() => Promise.resolve({ nowMs: 0, coordinatorCertificatePem: "pem" }));
    await turn();
    expect(await turn()).toBe(heartbeatIntervalMs);
    await registration.stop();
  });

  test("is not registered with somebody it does not believe", async () => {
    const { registration, turn, distrust, seen } = setUp();
    distrust(true);
    let registered = false;
    void registration.registered.then(() => {
      registered = true;
    });
    for (let i = 0; i < 3; i++) expect(await turn()).not.toBe(heartbeatIntervalMs);
    expect({ registered, seen }).toEqual({ registered: false, seen: [] });
    distrust(false);
    await turn();
    await until(() => registered && seen.length > 0, "the coordinator to be believed");
    await registration.stop();
  });

  test("stops in the middle of a call", async () => {
    const { registration, become, turn } = setUp();
    await registration.registered;
    become(() => new Promise((_, reject) => setTimeout(() => reject(new CollectiveError("cancelled", "cancelled")), 1)));
    await turn();
    await registration.stop();
  });
});
