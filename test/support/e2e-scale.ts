/**
 * Many members on one machine, as real processes: how long it takes until all are peered, until a killed one is known
 * dead everywhere and a new one known everywhere; and whether one that is paused is ever declared dead.
 */
import { createSeededRandom } from "../../src/core/random.ts";
import { residentBytes, type ScaleMember, startScaleMember } from "./scale-member.ts";

export interface ScaleOptions {
  readonly members: number;
  /** Of each member. */
  readonly nodes: number;
  readonly seed: number;
  /** Of a pause, a newcomer and a death each. */
  readonly rounds: number;
  readonly say: (line: string) => void;
}

/** In milliseconds, over the members that look: the first one and the last one of them. */
export interface Spread {
  readonly first: number;
  readonly all: number;
}

export interface ScaleRound {
  readonly pausedStates: readonly string[];
  /** Since it was told that it is a peer now. */
  readonly known: Spread;
  /** Since the kill. */
  readonly suspected: Spread;
  readonly dead: Spread;
}

export interface ScaleFigures {
  readonly processes: number;
  /** From nothing until every process serves. */
  readonly startedMs: number;
  /** From the first code until every member sees every other one alive. */
  readonly peeredMs: number;
  readonly memoryBytes: number;
  readonly rounds: readonly ScaleRound[];
}

/** What the product promises, with the profile for local networks. */
export const scaleLimits = { knownMs: 2_000, deadMs: 10_000 } as const;
export const pausedMs = 5_000;

const pollMs = 100;
const eventMsMax = 60_000;

export async function measureScale(options: ScaleOptions): Promise<ScaleFigures> {
  const { nodes, say } = options;
  const random = createSeededRandom(options.seed);
  await using stack = new AsyncDisposableStack();
  let started = 0;
  const start = async (): Promise<ScaleMember> => stack.use(await startScaleMember(started++, nodes));
  const startedAtMs = performance.now();
  const members = await Promise.all(Array.from({ length: options.members }, start));
  const startedMs = performance.now() - startedAtMs;
  const pids = members.flatMap((member) => member.pids);
  say(`${pids.length} processes serve after ${Math.round(startedMs)} ms`);

  const peeringAtMs = performance.now();
  const [inviter, ...joiners] = members;
  if (!inviter) throw new Error("a federation has at least one member");
  for (const joiner of joiners) await joiner.join(await inviter.invite());
  say(`${joiners.length} codes were used within ${Math.round(performance.now() - peeringAtMs)} ms`);
  await Promise.all(members.map((about) => seen(others(members, about), about, isAlive)));
  const peeredMs = performance.now() - peeringAtMs;
  const memoryBytes = residentBytes(pids);
  say(`${members.length} members see each other alive after ${Math.round(peeredMs)} ms`);

  const rounds: ScaleRound[] = [];
  for (let round = 0; round < options.rounds; round++) {
    const pick = (): ScaleMember => members[random.int(members.length)] as ScaleMember;
    const paused = pick();
    const pausedStates = await pause(paused, others(members, paused));
    say(`${paused.name} was paused for ${pausedMs} ms: ${pausedStates.join(", ")}`);

    const [newcomer, host] = [await start(), pick()];
    await newcomer.join(await host.invite());
    const known = await seen(members, newcomer, isAlive);
    say(`${newcomer.name} came to ${host.name}: known everywhere after ${Math.round(known.all)} ms`);
    await seen([newcomer], host, isAlive);
    members.push(newcomer);
    await Promise.all(
      members.map((about) =>
        seen(
          [newcomer].filter((one) => one !== about),
          about,
          isAlive,
        ),
      ),
    );

    const [victim] = members.splice(random.int(members.length), 1);
    if (!victim) throw new Error("nobody is left");
    const dying = Promise.all([seen(members, victim, (state) => state === "suspect" || state === "dead"), seen(members, victim, isDead)]);
    await victim.kill();
    const [suspected, dead] = await dying;
    say(`${victim.name} was killed: suspected after ${Math.round(suspected.first)} ms, dead everywhere after ${Math.round(dead.all)} ms`);
    rounds.push({ pausedStates, known, suspected, dead });
  }
  return { processes: pids.length, startedMs, peeredMs, memoryBytes, rounds };
}

type StateCheck = (state: string | undefined) => boolean;
const isAlive: StateCheck = (state) => state === "alive";
const isDead: StateCheck = (state) => state === "dead";

function others(members: readonly ScaleMember[], but: ScaleMember): ScaleMember[] {
  return members.filter((member) => member !== but);
}

/** From now until it is so for each of them. */
async function seen(by: readonly ScaleMember[], about: ScaleMember, isSo: StateCheck): Promise<Spread> {
  const startedMs = performance.now();
  const times = await Promise.all(
    by.map(async (member) => {
      for (;;) {
        const state = await member.stateOf(about.name);
        const tookMs = performance.now() - startedMs;
        if (isSo(state)) return tookMs;
        if (tookMs > eventMsMax) throw new Error(`${about.name} is ${state} at ${member.name} after ${eventMsMax} ms`);
        await Bun.sleep(pollMs);
      }
    }),
  );
  return { first: Math.min(...times), all: Math.max(...times) };
}

/** The states that any of them ever saw, until it is alive for all of them again. */
async function pause({ coordinatorPid, name }: ScaleMember, watchers: readonly ScaleMember[]): Promise<string[]> {
  const states = new Set<string>();
  const look = async (): Promise<boolean> => {
    const found = await Promise.all(watchers.map((member) => member.stateOf(name)));
    for (const state of found) states.add(state ?? "unheard of");
    return found.every(isAlive);
  };
  process.kill(coordinatorPid, "SIGSTOP");
  const startedMs = performance.now();
  try {
    while (performance.now() - startedMs < pausedMs) {
      await look();
      await Bun.sleep(pollMs);
    }
  } finally {
    process.kill(coordinatorPid, "SIGCONT");
  }
  while (!(await look())) {
    if (performance.now() - startedMs > eventMsMax) throw new Error(`${name} did not come back`);
    await Bun.sleep(pollMs);
  }
  return [...states];
}
