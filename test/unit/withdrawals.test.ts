/** Which tickets a list of withdrawals takes back, and how that list travels. */
import { expect, test } from "bun:test";
import { withdrawalsMax } from "../../protocol/limits.ts";
import { type Ticket, ticketOperations } from "../../protocol/ticket.ts";
import { withdrawalsSince } from "../../src/coordinator/withdrawals.ts";
import { createWithdrawals } from "../../src/node/withdrawals.ts";
import { alice, garage, home } from "../support/pki.ts";

const ticket = (holder: string, notBeforeMs: number, change: Partial<Pick<Ticket, "issuer" | "owner" | "operation">> = {}) => ({
  ...{ issuer: home, operation: "get" as const, holder, notBeforeMs },
  ...change,
});

test("tickets of the holder, of a pattern of holders or of everybody, issued until then", () => {
  const withdrawals = createWithdrawals();
  expect(withdrawals.isWithdrawn(ticket("dora@home.collective.local", 0))).toBe(false);
  const list = [
    { holder: "dora@home.collective.local", untilMs: 10 },
    { holder: "*@garage.collective.local", untilMs: 20 },
    { holder: "*@*.club.org", untilMs: 30 },
  ];
  withdrawals.replace({ revision: "1", lists: [{ issuer: home, list }] });
  const table: readonly (readonly [string, number, boolean])[] = [
    ["dora@home.collective.local", 10, true],
    ["dora@home.collective.local", 11, false],
    ["alice@home.collective.local", 5, false],
    ["bob@garage.collective.local", 20, true],
    ["bob@garage.collective.local", 21, false],
    ["eve@a.club.org", 30, true],
    ["eve@club.org", 30, false],
  ];
  for (const [holder, notBeforeMs, withdrawn] of table) expect(withdrawals.isWithdrawn(ticket(holder, notBeforeMs))).toBe(withdrawn);
  withdrawals.replace({ revision: "2", lists: [{ issuer: home, list: [{ holder: "*", untilMs: 40 }] }] });
  expect(withdrawals.isWithdrawn(ticket("anybody", 40))).toBe(true);
  expect(withdrawals.isWithdrawn(ticket("dora@home.collective.local", 41))).toBe(false);
  expect(withdrawals.isWithdrawn(ticket("dora@home.collective.local", 40, { issuer: garage }))).toBe(false);
});

test("a member takes back what it has issued and what would be put for it, and nothing of anybody else", () => {
  const withdrawals = createWithdrawals();
  withdrawals.replace({ revision: "1", lists: [{ issuer: garage, list: [{ holder: "*", untilMs: 10 }] }] });
  const table: readonly (readonly [Partial<Ticket>, boolean])[] = [
    [{ issuer: garage }, true],
    [{ issuer: garage, operation: "delete" }, true],
    [{ issuer: home, owner: garage, operation: "put" }, true],
    // Otherwise a guest could keep its host from deleting or looking at what it has there.
    ...ticketOperations.filter((one) => one !== "put").map((operation) => [{ issuer: home, owner: garage, operation }, false] as const),
    ...ticketOperations.map((operation) => [{ issuer: home, operation }, false] as const),
    [{ issuer: home, owner: home, operation: "put" }, false],
  ];
  for (const [change, withdrawn] of table)
    expect([change, withdrawals.isWithdrawn(ticket("dora@garage.collective.local", 5, change))]).toEqual([change, withdrawn]);
  withdrawals.replace({ revision: "2", lists: [{ issuer: home, list: [{ holder: "dora@garage.collective.local", untilMs: 10 }] }] });
  expect(withdrawals.isWithdrawn(ticket("dora@garage.collective.local", 5, { owner: garage, operation: "put" }))).toBe(true);
  expect(withdrawals.isWithdrawn(ticket("dora@garage.collective.local", 5, { issuer: garage }))).toBe(false);
});

test("a list is sent to whom has another one, and one that is too long becomes one for everybody", async () => {
  const list = [{ holder: "dora@home.collective.local", untilMs: 10 }];
  const noPeers = {
    member: alice,
    peers: { list: () => [] },
    federation: { agent: { record: () => undefined } },
    toldRevocations: { withdrawals: () => [] },
  };
  const source = { ...noPeers, metadata: { listWithdrawals: async () => list } };
  const first = await withdrawalsSince(source, undefined);
  expect(first?.lists).toEqual([{ issuer: home, list }]);
  expect(await withdrawalsSince(source, first?.revision)).toBeUndefined();
  list.push({ holder: "bob@garage.collective.local", untilMs: 5 });
  expect((await withdrawalsSince(source, first?.revision))?.lists[0]?.list).toEqual(list);
  const many = Array.from({ length: withdrawalsMax + 1 }, (_, index) => ({ holder: `p${index}@home.collective.local`, untilMs: index }));
  const crowded = { ...noPeers, metadata: { listWithdrawals: async () => many } };
  expect((await withdrawalsSince(crowded, "x"))?.lists).toEqual([{ issuer: home, list: [{ holder: "*", untilMs: withdrawalsMax }] }]);
});
