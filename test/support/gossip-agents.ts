/** Agents with real keys in one process, joined by a transport that carries bytes from one to the other. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, parseGlobalName } from "../../protocol/ids.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { createGossipAgent, type GossipAgent, type GossipNotice } from "../../src/gossip/agent.ts";
import type { Introduction } from "../../src/gossip/introductions.ts";
import { type GossipProfile, lanProfile } from "../../src/gossip/profile.ts";
import { createSeal } from "../../src/gossip/seal.ts";
import type { Seal } from "../../src/gossip/statements.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { createSigner, type Signer } from "../../src/pki/ticket.ts";

/** As the LAN profile, twenty times as fast: no test has to wait long. */
export const fastProfile: GossipProfile = {
  ...lanProfile,
  probeIntervalMs: 25,
  directTimeoutMs: 10,
  suspicionMinMs: 250,
  suspicionMaxMs: 500,
  gossipIntervalMs: 10,
  syncIntervalMs: 200,
  reconnectIntervalMs: 100,
  exchangeTimeoutMs: 200,
};

export interface AgentOf {
  readonly name: GlobalName;
  readonly agent: GossipAgent;
  readonly signer: Signer;
  readonly seal: Seal;
  readonly notices: GossipNotice[];
  readonly introductions: Introduction[];
}

export interface Federation extends AsyncDisposable {
  readonly members: readonly AgentOf[];
  /** Cuts a member off; it goes on by itself. */
  readonly unreachable: Set<GlobalName>;
  /** Whom all trust, with the key they are known by. */
  readonly keys: Map<GlobalName, Uint8Array>;
  member(name: string): AgentOf;
}

export function createFederation(names: readonly string[], profile: GossipProfile = fastProfile): Federation {
  const members: AgentOf[] = [];
  const keys = new Map<GlobalName, Uint8Array>();
  const unreachable = new Set<GlobalName>();
  for (const [index, text] of names.entries()) {
    const name = parseGlobalName(text);
    const signer = createSigner(generateKeyPair().privateKeyPem);
    const notices: GossipNotice[] = [];
    const introductions: Introduction[] = [];
    keys.set(name, signer.publicKeyRaw);
    const agent = createGossipAgent({
      member: name,
      addresses: [`127.0.0.1:${8001 + index}`],
      profile,
      signer,
      clock: systemClock,
      random: createSeededRandom(index + 1),
      log: silentLog,
      trust: { keyOf: (member) => keys.get(member), introduced: (introduction) => introductions.push(introduction) },
      transport: {
        send: async ({ to, bytes }) => {
          const target = members.find((member) => member.name === to);
          if (!target || unreachable.has(to) || unreachable.has(name)) throw new CollectiveError("unavailable", `${to} is not there`);
          return target.agent.receive(name, bytes);
        },
      },
    });
    agent.onNotice((notice) => notices.push(notice));
    members.push({ name, agent, signer, seal: createSeal((input) => signer.sign(input)), notices, introductions });
  }
  return {
    members,
    keys,
    unreachable,
    member: (name) => {
      const found = members.find((member) => member.name === parseGlobalName(name));
      if (!found) throw new Error(`no member ${name}`);
      return found;
    },
    [Symbol.asyncDispose]: async () => {
      for (const { agent } of members) await agent.stop();
    },
  };
}

/** All started, and all known to all. */
export async function joined(federation: Federation): Promise<Federation> {
  const [first, ...rest] = federation.members;
  first?.agent.start();
  for (const { agent } of rest) {
    agent.start();
    if (first) agent.contact(first.name);
  }
  const others = federation.members.length - 1;
  await until(() =>
    federation.members.every(({ agent }) => agent.snapshot().members.filter(({ state }) => state === "alive").length === others),
  );
  return federation;
}

export async function until(condition: () => boolean, withinMs = 8_000): Promise<void> {
  const endMs = systemClock.monotonicMs() + withinMs;
  while (!condition()) {
    if (systemClock.monotonicMs() > endMs) throw new Error(`not so within ${withinMs} ms: ${condition}`);
    await systemClock.sleep(5);
  }
}

export function stateOf(of: AgentOf, member: GlobalName): string | undefined {
  return of.agent.snapshot().members.find(({ name }) => name === member)?.state;
}
