/** Which tickets a list of withdrawals takes back, and how that list travels. */
import { expect, test } from "bun:test";
import { withdrawalsMax } from "../../protocol/limits.ts";
import { withdrawalsSince } from "../../src/coordinator/withdrawals.ts";
import { createWithdrawals } from "../../src/node/withdrawals.ts";

const ticket = (holder: string, notBeforeMs: number) => ({ holder, notBeforeMs });

test("tickets of the holder, of a pattern of holders or of everybody, issued until then", () => {
  const withdrawals = createWithdrawals();
  expect(withdrawals.isWithdrawn(ticket("dora@home.collective.local", 0))).toBe(false);
  const list = [
    { holder: "dora@home.collective.local", untilMs: 10 },
    { holder: "*@garage.collective.local", untilMs: 20 },
    { holder: "*@*.club.org", untilMs: 30 },
  ];
  withdrawals.replace({ revision: "1", list });
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
  withdrawals.replace({ revision: "2", list: [{ holder: "*", untilMs: 40 }] });
  expect(withdrawals.isWithdrawn(ticket("anybody", 40))).toBe(true);
  expect(withdrawals.isWithdrawn(ticket("dora@home.collective.local", 41))).toBe(false);
});

test("a list is sent to whom has another one, and one that is too long becomes one for everybody", async () => {
  const list = [{ holder: "dora@home.collective.local", untilMs: 10 }];
  const metadata = { listWithdrawals: async () => list };
  const first = await withdrawalsSince(metadata, undefined);
  expect(first?.list).toEqual(list);
  expect(await withdrawalsSince(metadata, first?.revision)).toBeUndefined();
  list.push({ holder: "bob@garage.collective.local", untilMs: 5 });
  expect((await withdrawalsSince(metadata, first?.revision))?.list).toEqual(list);
  const many = Array.from({ length: withdrawalsMax + 1 }, (_, index) => ({ holder: `p${index}@home.collective.local`, untilMs: index }));
  expect((await withdrawalsSince({ listWithdrawals: async () => many }, "x"))?.list).toEqual([{ holder: "*", untilMs: withdrawalsMax }]);
});
