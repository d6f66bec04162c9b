/** Several members as real processes, each with nodes and a home of its own, peered by codes as people do it. */
import { type Collective, type CollectiveOptions, type RunResult, startCollective } from "./process.ts";

export const memberNames = {
  alice: "alice@home.collective.local",
  bob: "bob@garage.collective.local",
  carol: "carol@office.collective.local",
  dave: "dave@attic.collective.local",
} as const;
export type MemberName = keyof typeof memberNames;

export async function startMember(name: MemberName, options: Omit<CollectiveOptions, "member"> = {}): Promise<Collective> {
  return await startCollective({ nodes: 1, capacity: "1GB", ...options, member: memberNames[name] });
}

/** Standard output of a command that must succeed. */
export async function told(collective: Collective, args: readonly string[], stdin?: string): Promise<string> {
  const { exitCode, stdout, stderr } = await collective.run(args, { stdin });
  if (exitCode !== 0) throw new Error(`collective ${args.join(" ")}: ${exitCode}\n${stderr}`);
  return stdout;
}

export async function peer(inviter: Collective, joiner: Collective): Promise<void> {
  const code = (await told(inviter, ["invite", "generate", "--for", "member", "--quiet"])).trim();
  await told(joiner, ["federation", "peer", "add", code]);
}

export interface ShownPeer {
  readonly member: string;
  readonly state: string;
  readonly trust: string;
  readonly introducer: string | null;
  readonly nodes: readonly { readonly id: string }[];
  readonly latency_ms: number | null;
}

export async function peersOf(collective: Collective): Promise<readonly ShownPeer[]> {
  return JSON.parse(await told(collective, ["federation", "peer", "list", "--json"])) as ShownPeer[];
}

export async function stateAt(collective: Collective, name: MemberName): Promise<string | undefined> {
  return (await peersOf(collective)).find((shown) => shown.member === memberNames[name])?.state;
}

/** Repeats until it is so; answers how long that took. Throws with what was seen last. */
export async function eventually<T>(ask: () => Promise<T>, isSo: (seen: T) => boolean, timeoutMs: number): Promise<number> {
  const startedMs = performance.now();
  for (;;) {
    const seen = await ask();
    const tookMs = performance.now() - startedMs;
    if (isSo(seen)) return tookMs;
    if (tookMs > timeoutMs) throw new Error(`not so after ${timeoutMs} ms: ${JSON.stringify(seen)}`);
  }
}

/** Of a command that may fail, in words that a test compares. */
export function outcomeOf({ exitCode, stdout, stderr }: RunResult): string {
  return exitCode === 0 ? stdout : `${exitCode}: ${stderr.split("\n")[0]}`;
}
