/** Connections that swallow what is sent, without a word: over real sockets, with the network cut in the middle. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { rootInode } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import { fetchChunk } from "../../src/client/fetch-chunk.ts";
import { hashChunk } from "../../src/codec/sealed-chunk.ts";
import { systemClock } from "../../src/core/clock.ts";
import { systemRandom } from "../../src/core/random.ts";
import { connectionSilentMsMax } from "../../src/net/connection-watch.ts";
import { type ControlClientOptions, createControlClient } from "../../src/net/control-client.ts";
import { createDataClient } from "../../src/net/data-client.ts";
import { loopback, startTestMember, type TestMember, ticketed } from "../support/member.ts";
import { alice, type HandClock, handClock } from "../support/pki.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

let member: TestMember;
let proxy: TcpProxy;
let clock: HandClock;

beforeEach(async () => {
  member = await startTestMember();
  proxy = await startTcpProxy(member.address);
  clock = handClock(member.clock.nowMs);
});
afterEach(async () => {
  await proxy[Symbol.asyncDispose]();
  await member[Symbol.asyncDispose]();
});

async function clientAt(address: string, options: Partial<ControlClientOptions> = {}) {
  const own = await member.credentialsOf({ kind: "user", name: alice });
  const server = { kind: "coordinator", name: alice } as const;
  const client = createControlClient({ address, server, credentials: () => own, clock, random: systemRandom, ...options });
  return (timeoutMs?: number): Promise<string> =>
    client.call(routes.getAttr, { inode: 1 }, timeoutMs === undefined ? {} : { timeoutMs }).then(
      () => "answered",
      (error) => error.code,
    );
}

describe("a connection to a coordinator", () => {
  test("that a router has forgotten is given up, and the next call goes over a new one", async () => {
    const ask = await clientAt(proxy.address);
    expect([await ask(), await ask(), proxy.accepted]).toEqual(["answered", "answered", 1]);
    proxy.cut();
    expect(await ask(50)).toBe("timed_out");
    proxy.heal();
    // So short a silence can have any reason.
    expect([await ask(50), proxy.accepted]).toEqual(["timed_out", 1]);
    clock.nowMs += connectionSilentMsMax;
    expect(await ask(50)).toBe("timed_out");
    expect([await ask(), await ask(), proxy.accepted]).toEqual(["answered", "answered", 2]);
  });

  test("that is given up is given up by all who wait, and they ask again over the new one", async () => {
    const ask = await clientAt(proxy.address, { clock: systemClock });
    expect(await ask()).toBe("answered");
    proxy.cut();
    const waiting = ask();
    const watching = ask(connectionSilentMsMax + 50);
    proxy.heal();
    expect([await watching, await waiting, proxy.accepted]).toEqual(["timed_out", "answered", 2]);
  });

  test("on which others are answered is kept, however long one call takes", async () => {
    const slow = Promise.withResolvers<void>();
    await using other = await startTestMember({
      wrapHandlers: (handlers) => ({
        ...handlers,
        usage: async (input, context) => {
          await slow.promise;
          return await handlers.usage(input, context);
        },
      }),
    });
    await using to = await startTcpProxy(other.address);
    const own = await other.credentialsOf({ kind: "user", name: alice });
    const server = { kind: "coordinator", name: alice } as const;
    const client = createControlClient({ address: to.address, server, credentials: () => own, clock, random: systemRandom });
    const taking = client.call(routes.usage, { inode: 1 }, { timeoutMs: 300 });
    taking.catch(() => undefined);
    clock.nowMs += connectionSilentMsMax;
    await client.call(routes.getAttr, { inode: 1 });
    await expect(taking).rejects.toMatchObject({ code: "timed_out" });
    await client.call(routes.getAttr, { inode: 1 });
    slow.resolve();
    expect(to.accepted).toBe(1);
  });
});

test("a server that takes connections and never answers costs three time-outs, then no time", async () => {
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, loopback, resolve));
  const at = silent.address();
  const port = typeof at === "object" && at ? at.port : 0;
  const circuit = { failuresMax: 3, firstPauseMs: 1_000, pauseMsMax: 1_000 };
  const ask = await clientAt(`${loopback}:${port}`, {
    circuit,
    firstAnswerTimeoutMs: 60,
    retryPolicy: { attemptsMax: 1, firstDelayMs: 0, delayMsMax: 0 },
  });
  try {
    expect([await ask(), await ask(), await ask()]).toEqual(["timed_out", "timed_out", "timed_out"]);
    const startedMs = performance.now();
    expect(await ask()).toBe("unavailable");
    expect(performance.now() - startedMs).toBeLessThan(50);
    clock.nowMs += 1_000;
    expect(await ask()).toBe("timed_out");
  } finally {
    silent.close();
  }
});

describe("connections to a node that swallow what is sent", () => {
  const data = new TextEncoder().encode("content");
  const id = hashChunk(data);

  test("are all left as soon as one is noticed", async () => {
    const node = await member.startNode("node-01");
    proxy.lead(node.address);
    await node.store.put(id, data);
    const own = await member.credentialsOf({ kind: "user", name: alice });
    const client = createDataClient(() => own);
    const target = { ...ticketed(member, node, { operation: "get", chunks: [id] }), address: proxy.address };
    const get = (signal?: AbortSignal): Promise<unknown> =>
      client.get(target, id, new Uint8Array(data.length), { signal }).catch((error) => error.code);
    expect(await Promise.all([get(), get(), get()])).toEqual([data.length, data.length, data.length]);
    proxy.cut();
    expect(await get(AbortSignal.timeout(100))).toBe("timed_out");
    proxy.heal();
    const again = AbortSignal.timeout(1_000);
    expect(await Promise.all([get(again), get(again), get(again)])).toEqual([data.length, data.length, data.length]);
  });

  test("cost a read some seconds, also where there is no other copy", async () => {
    const node = await member.startNode("node-01");
    proxy.lead(node.address);
    await node.store.put(id, data);
    const remote = member.remote();
    const target = { ...ticketed(member, node, { operation: "get", chunks: [id] }), address: proxy.address };
    const wanted = { id, storedBytes: data.length, store: rootInode, nodes: [target] };
    const into = new Uint8Array(data.length);
    expect(await fetchChunk(remote, wanted, { into })).toBe(data.length);
    proxy.cut();
    const fetching = fetchChunk({ ...remote, clock: systemClock }, wanted, { into });
    proxy.heal();
    expect(await fetching).toBe(data.length);
  });
});
