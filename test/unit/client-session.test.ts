/** What a client tells its coordinator of what it has open, and what it waits for before it calls something durable. */
import { expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { type Inode, parseInode } from "../../protocol/ids.ts";
import { heldInodesPerCallMax } from "../../protocol/limits.ts";
import type { Route } from "../../protocol/route.ts";
import { routes } from "../../protocol/routes.ts";
import { createClientSession } from "../../src/client/session.ts";
import { silentLog } from "../../src/core/log.ts";
import { expectCode } from "../support/metadata.ts";
import { handClock } from "../support/pki.ts";

interface Asked {
  readonly input: unknown;
  answer(output: unknown): void;
  fail(): void;
}

/** A client whose coordinator answers when the test does. */
function world() {
  const calls = new Map<Route, Asked[]>();
  const asked = (route: Route): readonly Asked[] => calls.get(route) ?? [];
  const call = (route: Route, input: unknown): Promise<never> => {
    const { promise, resolve, reject } = Promise.withResolvers<never>();
    const fail = () => reject(new CollectiveError("timed_out", "no answer"));
    calls.set(route, [...asked(route), { input, answer: (output) => resolve(output as never), fail }]);
    return promise;
  };
  const session = createClientSession({ remote: { control: { call }, clock: handClock(), log: silentLog }, onNews: async () => undefined });
  return { session, asked };
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  return await Promise.race([promise.then(() => true), settled().then(() => false)]);
}

test("two who want it durable at once both wait until it is", async () => {
  const { session, asked } = world();
  session.noteRelaxed();
  const both = [session.makeDurable(), session.makeDurable()] as const;
  expect(await isSettled(both[1])).toBe(false);
  asked(routes.makeDurable)[0]?.answer({});
  await Promise.all(both);
  expect(asked(routes.makeDurable)).toHaveLength(1);
  await session.makeDurable();
  expect(asked(routes.makeDurable)).toHaveLength(1);
});

test("what was made while others waited is asked for anew, once for all who want it", async () => {
  const { session, asked } = world();
  session.noteRelaxed();
  const first = session.makeDurable();
  session.noteRelaxed();
  const later = [session.makeDurable(), session.makeDurable()] as const;
  asked(routes.makeDurable)[0]?.answer({});
  await first;
  expect(await isSettled(Promise.race(later))).toBe(false);
  asked(routes.makeDurable)[1]?.answer({});
  await Promise.all(later);
  expect(asked(routes.makeDurable)).toHaveLength(2);
});

test("what could not be made durable is said to all who wait, and asked for again", async () => {
  const { session, asked } = world();
  session.noteRelaxed();
  const both = [session.makeDurable(), session.makeDurable()].map((promise) => expectCode("timed_out", promise));
  asked(routes.makeDurable)[0]?.fail();
  await Promise.all(both);
  const again = session.makeDurable();
  expect(await isSettled(again)).toBe(false);
  asked(routes.makeDurable)[1]?.answer({});
  await again;
});

test("all that is open is held before a name goes, however much it is", async () => {
  const { session, asked } = world();
  const inodes = Array.from({ length: heldInodesPerCallMax + 1 }, (_, index) => parseInode(index + 2));
  for (const inode of inodes) session.opened(inode);
  const held = session.holdOpen();
  asked(routes.hold)[0]?.answer({ gone: [] });
  expect(await isSettled(held)).toBe(false);
  for (const { answer } of asked(routes.hold)) answer({ gone: [] });
  await held;
  expect(asked(routes.hold).map(({ input }) => (input as { inodes: readonly Inode[] }).inodes.length)).toContain(1);
});

test("an open whose answer was lost gives back what it may hold", async () => {
  const { session, asked } = world();
  const file = parseInode(7);
  const opening = expectCode("timed_out", session.open(file, "read"));
  await settled();
  asked(routes.open)[0]?.fail();
  await opening;
  await settled();
  expect(asked(routes.release).map(({ input }) => input)).toEqual([{ inodes: [file] }]);
});
