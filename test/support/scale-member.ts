/** A member as real processes, with a client in this process to ask it many times a second without starting a command for each. */
import { readFileSync } from "node:fs";
import { type GlobalName, parseGlobalName } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import { openContexts } from "../../src/client/context-file.ts";
import { systemClock } from "../../src/core/clock.ts";
import { systemRandom } from "../../src/core/random.ts";
import { createControlClient } from "../../src/net/control-client.ts";
import { loadCredentials } from "../../src/pki/credentials.ts";
import { type Collective, startCollective } from "./process.ts";

export interface ScaleMember extends AsyncDisposable {
  readonly name: GlobalName;
  readonly coordinatorPid: number;
  readonly pids: readonly number[];
  /** How it sees another one; undefined when it has not heard of it. */
  stateOf(member: GlobalName): Promise<string | undefined>;
  invite(): Promise<string>;
  join(code: string): Promise<void>;
  /** SIGKILL for all its processes at once. */
  kill(): Promise<void>;
}

const inviteValidityMs = 3_600_000;

export async function startScaleMember(index: number, nodes: number): Promise<ScaleMember> {
  const number = String(index + 1).padStart(2, "0");
  const name = parseGlobalName(`member-${number}@site-${number}.collective.local`);
  const collective = await startCollective({ member: name, nodes, capacity: "1GB" });
  const control = await administratorOf(collective);
  const services = [collective.coordinator, ...collective.nodes];
  return {
    name,
    coordinatorPid: collective.coordinator.process.pid,
    pids: services.map((service) => service.process.pid),
    stateOf: async (member) => (await control.call(routes.listPeers, {})).peers.find((peer) => peer.member === member)?.state,
    invite: async () => {
      const wish = { kind: "member" as const, grants: [], usesMax: 1, validityMs: inviteValidityMs, description: "" };
      return (await control.call(routes.createInvite, wish)).code;
    },
    join: async (code) => void (await control.call(routes.addPeer, { code })),
    kill: async () => void (await Promise.all(services.map((service) => service.process.kill()))),
    [Symbol.asyncDispose]: () => collective[Symbol.asyncDispose](),
  };
}

async function administratorOf({ env }: Collective) {
  const contexts = openContexts(env.COLLECTIVE_HOME ?? "");
  const context = await contexts.current();
  if (!context) throw new Error("the coordinator wrote no context");
  const own = await loadCredentials(contexts.credentials(context.name).folder);
  const server = { kind: "coordinator", name: context.member } as const;
  return createControlClient({ address: context.coordinator, server, credentials: () => own, clock: systemClock, random: systemRandom });
}

/** What the processes hold in memory, pages that several share counted once in all. */
export function residentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const [, kibibytes = "0"] = /^Pss: +(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")) ?? [];
    return sum + Number(kibibytes) * 1024;
  }, 0);
}
