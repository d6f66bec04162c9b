import { describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { heartbeatIntervalMs } from "../../protocol/limits.ts";
import type { Heartbeat } from "../../protocol/schema.ts";
import { type Log, silentLog } from "../../src/core/log.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import type { ControlClient } from "../../src/net/control-client.ts";
import { startRegistration } from "../../src/node/registration.ts";
import { createCoordinatorTrust } from "../../src/node/trust.ts";
import { createWithdrawals } from "../../src/node/withdrawals.ts";
import { until } from "../support/content.ts";
import { failureOf } from "../support/metadata.ts";
import { handClock, home } from "../support/pki.ts";

const heartbeat: Heartbeat = { address: "10.0.0.1:7001", capacityBytes: 10, usedBytes: 1, freeBytes: 9, chunkCount: 1, version: "0.1.0" };

const accepted = { nowMs: 0, coordinatorCertificatePem: "pem" };
const dorasTicket = { issuer: home, operation: "get", holder: "dora@home.collective.local", notBeforeMs: 1_000 } as const;

/** A coordinator that answers as the test says, and a clock that waits until it is told to go on. */
function setUp(answer: () => Promise<unknown> = () => Promise.resolve(accepted)) {
  const waits: { ms: number; go: () => void }[] = [];
  const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const cancel = (): void => reject(new CollectiveError("cancelled", "cancelled"));
      if (signal?.aborted) return cancel();
      signal?.addEventListener("abort", cancel);
      waits.push({ ms, go: resolve });
    });
  let beats = 0;
  const coordinator: ControlClient = {
    call: () => {
      beats++;
      return answer() as never;
    },
  };
  const seen: string[] = [];
  const said: string[] = [];
  const note = (event: string, fields: object = {}): void => void said.push(`${event} ${JSON.stringify(fields)}`);
  const log: Log = { ...silentLog, info: note, warn: note, error: note };
  const clock = Object.assign(handClock(0), { sleep });
  const withdrawals = createWithdrawals();
  let refuse = false;
  const registration = startRegistration({
    coordinator,
    describe: () => heartbeat,
    withdrawals,
    trust: createCoordinatorTrust({ log, onChange: () => undefined }),
    onCoordinator: (pem) => {
      if (refuse) throw new CollectiveError("not_authenticated", "not who it should be");
      seen.push(`${pem}${withdrawals.isWithdrawn(dorasTicket) ? ", dora's withdrawn" : ""}`);
    },
    clock,
    random: createSeededRandom(1),
    log,
  });
  const turn = async (): Promise<number> => {
    await until(() => waits.length > 0, "the node to wait");
    const wait = waits.shift();
    wait?.go();
    return wait?.ms ?? 0;
  };
  return {
    registration,
    clock,
    said,
    withdrawals,
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
    become(() => Promise.resolve(accepted));
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

  test("knows that its name is taken, says so once and goes on asking", async () => {
    const { registration, become, turn, said } = setUp(() => Promise.reject(new CollectiveError("unavailable", "away")));
    await turn();
    become(() => Promise.reject(new CollectiveError("conflict", "there is another node-01")));
    for (let i = 0; i < 3; i++) await turn();
    expect((await failureOf(registration.registered)).code).toBe("conflict");
    expect(said.map((line) => line.split(",")[0])).toEqual(["coordinator does not answer", "coordinator refuses this node"]);
    become(() => Promise.resolve(accepted));
    await turn();
    expect(await turn()).toBe(heartbeatIntervalMs);
    await registration.stop();
  });

  test("says once that it was revoked, and asks less and less often", async () => {
    const { registration, turn, become, said } = setUp();
    await registration.registered;
    become(() => Promise.reject(new CollectiveError("not_authenticated", "node-01 was revoked on Monday")));
    await turn();
    const delaysMs: number[] = [];
    for (let i = 0; i < 10; i++) delaysMs.push(await turn());
    expect(Math.min(...delaysMs)).toBeGreaterThanOrEqual(2_500);
    expect(Math.max(...delaysMs)).toBeLessThanOrEqual(60_000);
    expect(Math.min(...delaysMs.slice(6))).toBeGreaterThanOrEqual(30_000);
    expect(said.filter((line) => line.includes("revoked on Monday"))).toHaveLength(1);
    await registration.stop();
  });

  test("knows what was withdrawn before it believes a ticket, and says which list it has", async () => {
    const { registration, turn, become, seen, withdrawals, beats } = setUp();
    const list = [{ holder: "*@home.collective.local", untilMs: 1_000 }];
    await registration.registered;
    become(() =>
      Promise.resolve({ nowMs: 0, coordinatorCertificatePem: "new", withdrawals: { revision: "r1", lists: [{ issuer: home, list }] } }),
    );
    await turn();
    await until(() => beats() === 2 && withdrawals.revision === "r1", "the list to arrive");
    expect(seen).toEqual(["pem", "new, dora's withdrawn"]);
    await registration.stop();
  });

  test("says once that its clock is wrong, and when it is right again", async () => {
    const { registration, turn, said, clock, beats } = setUp();
    await registration.registered;
    const offBy = async (minutes: number): Promise<void> => {
      clock.nowMs = minutes * 60_000;
      const before = beats();
      await turn();
      await until(() => beats() === before + 1, "a heartbeat");
    };
    for (const minutes of [4, 12, 13, 4]) await offBy(minutes);
    expect(said.filter((line) => line.includes("clock"))).toEqual([
      "the clock of this machine is 12m ahead of the coordinator's {}",
      "the clock of this machine is right again {}",
    ]);
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
