/** Peers by the administrator's decision on the word of others, addresses that are wrong, and the members that the configuration names. */
import { afterEach, describe, expect, test } from "bun:test";
import { createServer, type Socket } from "node:net";
import { type GlobalName, parseGlobalName } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import { bootstrapRetryPolicy, startBootstrapPeers } from "../../src/coordinator/bootstrap-peers.ts";
import type { CoordinatorService } from "../../src/coordinator/service.ts";
import { systemClock } from "../../src/core/clock.ts";
import { type Log, silentLog } from "../../src/core/log.ts";
import { parseHostPort } from "../../src/core/units.ts";
import { createRoot } from "../../src/pki/federation-root.ts";
import { until } from "../support/e2e-commands.ts";
import { startTestMember, type TestMember, type TestMemberOptions } from "../support/member.ts";
import { alice, bob, handClock } from "../support/pki.ts";
import { peersOf, startMemberUnder } from "../support/roots.ts";

const carol = parseGlobalName("carol@office.collective.local");
let started: TestMember[] = [];
afterEach(async () => {
  await Promise.all(started.map((member) => member[Symbol.asyncDispose]()));
  started = [];
});

function kept(member: TestMember): TestMember {
  started.push(member);
  return member;
}

async function gossiping(member: GlobalName, options: TestMemberOptions = {}): Promise<TestMember> {
  const one = kept(await startTestMember({ ...options, member }));
  one.service.federation.start();
  return one;
}

async function peer(inviter: TestMember, joiner: TestMember): Promise<void> {
  const wish = { grants: [], usesMax: 1, validityMs: 3_600_000, description: "" };
  const { code } = await inviter.client().call(routes.createInvite, { kind: "member", ...wish });
  await joiner.client().call(routes.addPeer, { code });
}

const list = (member: TestMember) => member.client().call(routes.listPeers, {});
const connect = (from: TestMember, member: GlobalName, address?: string) => from.client().call(routes.connectPeer, { member, address });
const stateAt = (at: TestMember, member: GlobalName) => at.service.federation.states().get(member);

/** Alice and carol, who trust nobody by somebody's word, and bob between them. */
async function threeOfWhomTwoAreCareful(): Promise<{ atHome: TestMember; atGarage: TestMember; atOffice: TestMember }> {
  const careful = { policy: "manual" } as const;
  const [atHome, atGarage, atOffice] = await Promise.all([gossiping(alice, careful), gossiping(bob), gossiping(carol, careful)]);
  await peer(atGarage, atHome);
  await peer(atGarage, atOffice);
  await until(
    async () => (await Promise.all([atHome, atOffice].map(list))).map(({ vouched }) => vouched.length),
    (counts) => counts.every((count) => count === 1),
  );
  return { atHome, atGarage, atOffice };
}

describe("by the policy manual, a member that a trusted one vouches for", () => {
  test("is listed with who does, is trusted when the administrator says so, and gossips when both do", async () => {
    const { atHome, atGarage, atOffice } = await threeOfWhomTwoAreCareful();
    expect((await list(atHome)).vouched).toEqual([{ member: carol, address: atOffice.address, introducers: [bob] }]);
    expect(peersOf(atHome)).toEqual([bob]);
    expect(await connect(atHome, carol)).toEqual({ address: atOffice.address, trust: "introduced", introducer: bob });
    const listed = await list(atHome);
    expect(listed.vouched).toEqual([]);
    expect(listed.peers).toMatchObject([{ member: bob }, { member: carol, introducer: bob, underRoot: false }]);
    expect(atHome.service.peers.get(carol)?.authorityPem).toBe(atOffice.authority.certificatePem);
    expect((await atHome.metadata.listAudit({ limit: 1 }))[0]).toMatchObject({
      ...{ action: "peer.added", actor: alice, subject: carol, details: { introducer: bob } },
    });
    // Trust is each one's own decision.
    expect([peersOf(atOffice), peersOf(atGarage)]).toEqual([[bob], [alice, carol]]);
    await connect(atOffice, alice);
    await until(
      () => [stateAt(atHome, carol), stateAt(atOffice, alice)],
      (states) => states.every((state) => state === "alive"),
    );
  });

  test("is not connected to when those who vouch for it mean different authorities", async () => {
    const { atHome, atOffice } = await threeOfWhomTwoAreCareful();
    const liar = await gossiping(parseGlobalName("dave@attic.collective.local"));
    const impostor = kept(await startTestMember({ member: carol }));
    await peer(atHome, liar);
    const shown = { authorityPem: impostor.authority.certificatePem, coordinatorPem: impostor.credentials.certificatePem };
    liar.service.federation.agent.publish("introduction", { member: carol, ...shown, addresses: [impostor.address] }, carol);
    await until(
      async () => (await list(atHome)).vouched.find(({ member }) => member === carol)?.introducers,
      (introducers) => introducers?.length === 2,
    );
    await expect(connect(atHome, carol, atOffice.address)).rejects.toMatchObject({
      ...{ code: "conflict", message: expect.stringContaining(`vouch for ${carol} with different certificate authorities`) },
    });
    expect(peersOf(atHome)).toEqual([bob, liar.member]);
  });

  test("is not found when nobody vouches for it any more", async () => {
    const { atHome } = await threeOfWhomTwoAreCareful();
    await atHome.client().call(routes.removePeer, { member: bob });
    expect(await list(atHome)).toEqual({ peers: [], vouched: [] });
    for (const member of [carol, bob])
      await expect(connect(atHome, member)).rejects.toMatchObject({
        ...{ code: "not_found", message: `nobody that ${alice} trusts vouches for ${member}` },
        hint: expect.stringContaining("collective federation peer add CODE"),
      });
    await expect(connect(atHome, alice)).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(connect(atHome, carol, "x/y:80@evil")).rejects.toMatchObject({ code: "invalid_argument" });
  });
});

/** Takes connections and never says a word. */
async function silentServer(): Promise<{ readonly address: string } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => void sockets.add(socket.on("error", () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { readonly port: number };
  return {
    address: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

test("an address that the administrator names is used when the one that is known swallows everything", async () => {
  const [atHome, atGarage] = await Promise.all([startTestMember(), startTestMember({ member: bob })]);
  [atHome, atGarage].forEach(kept);
  await peer(atHome, atGarage);
  await using silent = await silentServer();
  await atHome.metadata.updatePeer(bob, { address: silent.address });
  await atHome.service.peers.refresh();
  // Bob, who knows where alice is, does not speak first.
  atHome.service.federation.start();
  expect(await connect(atHome, bob, atGarage.address)).toEqual({ address: atGarage.address, trust: "before", introducer: null });
  atGarage.service.federation.agent.start();
  await until(
    () => [stateAt(atHome, bob), atHome.service.peers.get(bob)?.address],
    ([state, address]) => state === "alive" && address === atGarage.address,
  );
});

interface Told {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** The service with a clock of its own, and what it warns of. */
function watched({ service }: TestMember, sleep: CoordinatorService["clock"]["sleep"]): { service: CoordinatorService; warnings: Told[] } {
  const warnings: Told[] = [];
  const log: Log = { ...silentLog, warn: (message, fields = {}) => void warnings.push({ message, fields }), tagged: () => log };
  const clock = { ...systemClock, sleep };
  return { warnings, service: Object.create(service, { clock: { value: clock }, log: { value: log } }) as CoordinatorService };
}

describe("a member that the configuration names", () => {
  test("is tried ever less often until it is there, and the log says once why it is not", async () => {
    const root = await createRoot(handClock());
    const [atHome, atGarage] = (await Promise.all([startMemberUnder(root, alice), startMemberUnder(root, bob)])).map(kept);
    if (!atHome || !atGarage) throw new Error("the members have not started");
    const nobody = await silentServer();
    await nobody[Symbol.asyncDispose]();
    let address = nobody.address;
    const waits: number[] = [];
    const { service, warnings } = watched(atHome, (ms) => {
      waits.push(ms);
      if (waits.length === 10) address = atGarage.address;
      return Promise.resolve();
    });
    const place = {
      member: bob,
      get address() {
        return parseHostPort(address);
      },
    };
    const trying = startBootstrapPeers(service, [place, { member: alice, address: parseHostPort("127.0.0.1:1") }]);
    await until(
      () => waits.length,
      (count) => count >= 10,
    );
    await trying.stop();
    const ceilings = waits.map((_, index) => Math.min(bootstrapRetryPolicy.delayMsMax, bootstrapRetryPolicy.firstDelayMs * 2 ** index));
    for (const [index, waitMs] of waits.entries()) {
      expect(waitMs).toBeGreaterThanOrEqual((ceilings[index] ?? 0) / 2);
      expect(waitMs).toBeLessThanOrEqual(ceilings[index] ?? 0);
    }
    expect(warnings).toMatchObject([{ message: "peer not reached", fields: { member: bob, reason: expect.stringContaining("refused") } }]);
    const again = startBootstrapPeers(service, [place]);
    await until(
      () => [peersOf(atHome), peersOf(atGarage)].flat(),
      (peers) => peers.length === 2,
    );
    await again.stop();
    expect(warnings).toHaveLength(1);
  });

  test("needs a code where there is no root, which the log says once, and is not let in again when it was removed", async () => {
    const [atHome, atGarage] = await Promise.all([startTestMember(), startTestMember({ member: bob })]);
    [atHome, atGarage].forEach(kept);
    const waits: number[] = [];
    const { service, warnings } = watched(atHome, async (ms) => void waits.push(ms));
    const place = { member: bob, address: parseHostPort(atGarage.address) };
    await startBootstrapPeers(service, [place]).stop();
    expect(warnings).toMatchObject([{ fields: { member: bob, hint: expect.stringContaining("federation peer add CODE") } }]);
    expect([waits, peersOf(atHome)]).toEqual([[], []]);
    await peer(atGarage, atHome);
    await startBootstrapPeers(service, [place]).stop();
    expect(warnings).toHaveLength(1);
    await atHome.client().call(routes.removePeer, { member: bob });
    await startBootstrapPeers(service, [place]).stop();
    expect(peersOf(atHome)).toEqual([]);
  });

  test("that is trusted is found at the address there when the known one is wrong", async () => {
    const [atHome, atGarage] = await Promise.all([startTestMember(), startTestMember({ member: bob })]);
    [atHome, atGarage].forEach(kept);
    await peer(atHome, atGarage);
    await using silent = await silentServer();
    await atHome.metadata.updatePeer(bob, { address: silent.address });
    await atHome.service.peers.refresh();
    atGarage.service.federation.agent.start();
    atHome.service.federation.start();
    const trying = startBootstrapPeers(atHome.service, [{ member: bob, address: parseHostPort(atGarage.address) }]);
    await until(
      () => [stateAt(atHome, bob), atHome.service.peers.get(bob)?.address],
      ([state, address]) => state === "alive" && address === atGarage.address,
    );
    await trying.stop();
  });
});
