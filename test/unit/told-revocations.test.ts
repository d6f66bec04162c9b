/** Whom a member has revoked is refused by the others, too, and nobody else is. */
import { expect, test } from "bun:test";
import { decodeRecordBody, encodeRecordBody, keysToldMax, type RecordBody, revocationsToldMax } from "../../protocol/gossip-records.ts";
import { type GlobalName, parseGlobalName } from "../../protocol/ids.ts";
import { clockSkewMsMax, ticketLifetimeMs } from "../../protocol/limits.ts";
import { revocationsRecord } from "../../src/coordinator/shared-records.ts";
import { createToldRevocations } from "../../src/coordinator/told-revocations.ts";
import type { Enrolment } from "../../src/meta/people.ts";
import type { Caller } from "../../src/net/control-app.ts";
import { leafValidityMsMax } from "../../src/pki/authority.ts";
import { alice, bob, handClock } from "../support/pki.ts";

const dora = parseGlobalName("dora@home.collective.local");
const [oldKey, newKey, anyOtherKey] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2), new Uint8Array(0)];
const nowMs = 1_000_000_000_000;

const enrolment = (change: Partial<Enrolment>): Enrolment => ({
  ...{ kind: "user", name: dora, publicKeyRaw: oldKey, joinedMs: 1, joinedBy: alice, revokedMs: null },
  ...change,
});
const revokedAsAWhole = (revokedMs: number, name: GlobalName = dora): Enrolment[] => [
  enrolment({ name, revokedMs }),
  enrolment({ name, publicKeyRaw: anyOtherKey, joinedMs: revokedMs, revokedMs }),
];
const caller = (change: Partial<Caller> = {}): Caller => ({
  ...{ kind: "user", name: dora, publicKeyRaw: oldKey, serial: "0a", certificatePem: "" },
  ...change,
});

/** At bob, who has heard `told` from alice. */
function heard(told: RecordBody<"revocations"> | undefined) {
  const record = (member: GlobalName) => (member === alice ? told : undefined);
  const peers = { list: () => [{ member: alice }] };
  const clock = handClock(nowMs);
  return createToldRevocations({ peers, federation: { agent: { record } }, clock } as unknown as Parameters<
    typeof createToldRevocations
  >[0]);
}

function isRefused(told: RecordBody<"revocations"> | undefined, who: Caller): boolean {
  try {
    heard(told).assertInForce(who);
    return false;
  } catch (error) {
    expect(error).toMatchObject({ code: "not_authenticated", message: expect.stringContaining("was revoked on ") });
    return true;
  }
}

test("a name is refused with every key but those let in again, as a node or a person, and a certificate by its serial", () => {
  const again = enrolment({ publicKeyRaw: newKey, joinedMs: nowMs });
  const table: readonly (readonly [Enrolment[], Caller, boolean])[] = [
    [[enrolment({})], caller(), false],
    [revokedAsAWhole(nowMs), caller(), true],
    [revokedAsAWhole(nowMs), caller({ publicKeyRaw: newKey }), true],
    [[...revokedAsAWhole(nowMs), again], caller({ publicKeyRaw: newKey }), false],
    [[...revokedAsAWhole(nowMs), again], caller(), true],
    [revokedAsAWhole(nowMs), caller({ kind: "node" }), false],
    [revokedAsAWhole(nowMs), caller({ name: alice }), false],
  ];
  for (const [enrolments, who, refused] of table) expect(isRefused(revocationsRecord(enrolments, [], nowMs), who)).toBe(refused);
  const bySerial = revocationsRecord([], [{ serial: "0a", revokedMs: nowMs }], nowMs);
  expect([isRefused(bySerial, caller()), isRefused(bySerial, caller({ serial: "0b" })), isRefused(undefined, caller())]).toEqual([
    true,
    false,
    false,
  ]);
});

test("a member is believed about its own site alone", () => {
  const told = revocationsRecord(revokedAsAWhole(nowMs, bob), [{ serial: "0a", revokedMs: nowMs }], nowMs);
  expect(isRefused(told, caller({ name: bob }))).toBe(false);
  expect(heard(told).withdrawals()).toEqual([]);
});

test("tickets that were given before it was heard are void, as long as one could live", () => {
  const withdrawalsAfter = (revokedMs: number) => heard(revocationsRecord(revokedAsAWhole(revokedMs), [], nowMs)).withdrawals();
  expect(withdrawalsAfter(nowMs)).toEqual([{ holder: dora, untilMs: nowMs + 60_000 }]);
  expect(withdrawalsAfter(nowMs - 2 * (ticketLifetimeMs + 2 * clockSkewMsMax))).toEqual([]);
});

test("what is told fits one record, however many were revoked, the newest first", () => {
  const many = Array.from({ length: 3_000 }, (_, index) =>
    revokedAsAWhole(nowMs - index, parseGlobalName(`${"x".repeat(50)}${index}@home.collective.local`)),
  ).flat();
  const keys = Array.from({ length: 100 }, (_, index) =>
    enrolment({ publicKeyRaw: new Uint8Array(32).fill(index), joinedMs: nowMs + index }),
  );
  const serials = Array.from({ length: 3_000 }, (_, index) => ({ serial: index.toString(16).padStart(32, "0"), revokedMs: nowMs - index }));
  const told = revocationsRecord([...revokedAsAWhole(nowMs + 1), ...keys, ...many], serials, nowMs);
  expect(decodeRecordBody("revocations", encodeRecordBody("revocations", told))).toEqual(told);
  expect(told.names[0]).toMatchObject({ name: dora, keysInForce: { length: keysToldMax } });
  expect(told.names.length).toBeGreaterThan(20);
  expect(told.serials).toHaveLength(revocationsToldMax);
  expect(revocationsRecord(revokedAsAWhole(nowMs - leafValidityMsMax), [], nowMs).names).toEqual([]);
});
