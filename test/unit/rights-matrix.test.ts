/** Every route × every kind of caller: nothing is allowed or refused that should not be. The table is in test/support/rights-rows.ts. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Route, type RouteName, routes } from "../../protocol/routes.ts";
import { type Case, machines, rows } from "../support/rights-rows.ts";
import { type CallerKind, callerKinds, type RightsWorld, startRightsWorld } from "../support/rights-world.ts";

let world: RightsWorld;
beforeAll(async () => {
  world = await startRightsWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const routeNames = Object.keys(routes) as RouteName[];

test("has a row for every route, and callers that are allowed and refused", () => {
  expect(Object.keys(rows).sort()).toEqual([...routeNames].sort());
  expect(callerKinds.length).toBeGreaterThanOrEqual(8);
  for (const name of routeNames) {
    expect(rows[name].length, name).toBeGreaterThan(0);
    expect(
      rows[name].some((row) => row.ok.length > 0),
      name,
    ).toBe(true);
    for (const row of rows[name]) expect(row.ok.filter((kind) => row.denied?.includes(kind))).toEqual([]);
  }
});

for (const name of routeNames) {
  describe(name, () => {
    for (const row of rows[name] as readonly Case<RouteName>[]) {
      test(row.what, async () => {
        const outcomes: [CallerKind, string][] = [];
        for (const kind of callerKinds) outcomes.push([kind, await outcomeOf(routes[name], await row.input(world, kind), kind)]);
        expect(Object.fromEntries(outcomes)).toEqual(Object.fromEntries(callerKinds.map((kind) => [kind, expected(row, kind)])));
      });
    }
  });
}

async function outcomeOf(route: Route, input: unknown, kind: CallerKind): Promise<string> {
  return await world.clients[kind].call(route, input).then(
    () => "ok",
    (error: { code: string }) => {
      // What fails for the administrator fails for what it is, not for who asks.
      return kind === "administrator" ? "failed" : error.code;
    },
  );
}

function expected({ ok, denied = [] }: Case<RouteName>, kind: CallerKind): string {
  if (ok.includes(kind)) return "ok";
  if (kind === "administrator") return "failed";
  if (kind === "revoked person") return "not_authenticated";
  return denied.includes(kind) || machines.includes(kind) ? "permission_denied" : "not_found";
}
