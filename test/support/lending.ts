/** Three members that lend each other space, as real processes. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually, memberNames, peer, startMember, told } from "./federation.ts";
import type { Collective } from "./process.ts";

export const three = ["alice", "bob", "carol"] as const;
export type Three = (typeof three)[number];
export type Lenders = Readonly<Record<Three, Collective>> & AsyncDisposable;

export interface FederationShown {
  readonly pledge: { readonly pledged: number; readonly given: number; readonly taken: number; readonly share: number };
  readonly peers: readonly {
    readonly member: string;
    readonly state: string;
    readonly pledge: { readonly pledged: number; readonly given: number; readonly given_to_us: number } | null;
    readonly nodes: readonly unknown[];
  }[];
}

/** Each sees the others alive, with a node, before this resolves. */
export async function startLenders(pledges: Readonly<Record<Three, string>>): Promise<Lenders> {
  const [alice, bob, carol] = await Promise.all(three.map((name) => startMember(name)));
  if (!alice || !bob || !carol) throw new Error("not all members have started");
  const lenders: Lenders = {
    ...{ alice, bob, carol },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([alice, bob, carol].map((member) => member[Symbol.asyncDispose]()));
    },
  };
  await peer(alice, bob);
  await peer(alice, carol);
  await Promise.all(three.map((name) => pledge(lenders, name, pledges[name])));
  return lenders;
}

/** Resolves when the others have heard of it. */
export async function pledge(lenders: Readonly<Record<Three, Collective>>, name: Three, size: string): Promise<void> {
  const { pledged } = JSON.parse(await told(lenders[name], ["federation", "pledge", size, "--json"])) as { pledged: number };
  const others = three.filter((other) => other !== name);
  await Promise.all(
    others.map((other) =>
      eventually(
        async () => (await federationAt(lenders[other])).peers.find(({ member }) => member === memberNames[name]),
        (shown) => shown?.state === "alive" && shown.nodes.length > 0 && shown.pledge?.pledged === pledged,
        20_000,
      ),
    ),
  );
}

export async function federationAt(collective: Collective): Promise<FederationShown> {
  return JSON.parse(await told(collective, ["federation", "status", "--json"])) as FederationShown;
}

export async function killNodes(collective: Collective): Promise<void> {
  await Promise.all(collective.nodes.map((node) => node.process.kill()));
}

export async function totalsAt(collective: Collective): Promise<{ readonly degraded: number; readonly lost: number }> {
  const { totals } = JSON.parse(await told(collective, ["status", "--json"])) as {
    totals: { degraded_chunks: number; lost_chunks: number };
  };
  return { degraded: totals.degraded_chunks, lost: totals.lost_chunks };
}

/** The contents of all files below a folder one after the other, and their names. */
export async function everythingIn(folder: string): Promise<{ readonly names: string; readonly bytes: Buffer }> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  // What a running process has removed meanwhile is not there to be read.
  const contents = await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name)).catch(() => Buffer.alloc(0))));
  return { names: entries.map(({ name }) => name).join("\n"), bytes: Buffer.concat(contents) };
}
