/** The tree of a demo: stored at one member, fetched back while one of its nodes dies, and compared with the original. */
import { join } from "node:path";
import { CollectiveError } from "../../../protocol/errors.ts";
import { routes } from "../../../protocol/routes.ts";
import type { Attr } from "../../../protocol/schema.ts";
import { makeDirectoryPath } from "../../client/directories.ts";
import { statPath } from "../../client/files.ts";
import { getTrees } from "../../client/get-tree.ts";
import { type PutTarget, putTrees } from "../../client/put-tree.ts";
import type { Remote } from "../../client/remote.ts";
import { formatDuration, formatSize } from "../../core/units.ts";
import { countOf, formatCount, printable } from "../output/text.ts";
import type { CastMember, Stage } from "./cast.ts";
import { type Comparison, compareTrees } from "./compare.ts";
import type { DemoFolder } from "./folder.ts";
import { createMeter, type TreeAmount } from "./meter.ts";
import { copies, randomFileName, type Tree } from "./place.ts";
import type { DemoProcess } from "./processes.ts";
import { makeRandomFile, makeTree, measureTree, randomFileBytes } from "./source-tree.ts";

export const storeName = "demo";

export async function makeSources({ io, folder, say }: Stage, tree: Tree | undefined): Promise<Tree[]> {
  const { bold } = io.out.colours;
  const randomPath = join(folder.madeDir, randomFileName);
  await makeRandomFile(randomPath, { random: io.random, signal: io.signal });
  const random = { path: randomPath, name: randomFileName, size: { files: 1, links: 0, bytes: randomFileBytes } };
  const first = tree ?? (await makeDocuments(folder, io.signal));
  const { files, links, bytes } = first.size;
  const amounts = [countOf(files, "file"), countOf(links, "symbolic link"), formatSize(bytes)].join(", ");
  say(`\n${bold("Storing")} ${printable(first.path)} (${amounts}) and one file of random bytes, ${formatSize(randomFileBytes)}`);
  return [first, random];
}

async function makeDocuments({ madeDir }: DemoFolder, signal: AbortSignal): Promise<Tree> {
  const path = join(madeDir, "documents");
  await makeTree(path);
  return { path, name: "documents", size: await measureTree(path, { signal }) };
}

function totalOf(sources: readonly Tree[]): TreeAmount {
  return {
    files: sources.reduce((sum, { size }) => sum + size.files + size.links, 0),
    bytes: sources.reduce((sum, { size }) => sum + size.bytes, 0),
  };
}

export async function storeTree({ io, say }: Stage, { owner, sources }: { owner: CastMember; sources: readonly Tree[] }): Promise<void> {
  const { remote } = owner.session;
  const parent = await makeDirectoryPath(remote, [storeName], io.signal);
  const targets: PutTarget[] = sources.map(({ path, name }) => ({ localPath: path, parent, name, existing: undefined }));
  const meter = createMeter(io, { label: "put", total: totalOf(sources) });
  const totals = await meter.measure((onProgress) => putTrees(remote, targets, { onProgress, recursive: true, signal: io.signal }));
  const degraded =
    totals.degradedChunks === 0 ? `${copies} copies of every chunk, synced to disk` : io.out.colours.warn("fewer copies than asked for");
  say(`  put  ${meter.summary()}; ${degraded}`);
}

interface Granting extends Pick<FetchOptions, "owner" | "reader"> {
  readonly signal: AbortSignal;
}

interface FetchOptions {
  readonly owner: CastMember;
  /** The owner itself, or another member that it grants the store. */
  readonly reader: CastMember;
  readonly sources: readonly Tree[];
  readonly victim: DemoProcess | undefined;
}

/** The store at its owner, as the reader sees it. */
async function grantedStore(remote: Remote, { owner, reader, signal }: Granting): Promise<Attr> {
  const { control } = owner.session.remote;
  const { inode } = await statPath(owner.session.remote, [storeName], signal);
  if (reader !== owner) await control.call(routes.grantAccess, { inode, subject: reader.name, rights: ["read"] }, { signal });
  return await statPath(remote, [storeName], signal);
}

/** The node dies while reads are under way and stays dead: whatever it held must come from elsewhere. */
export async function fetchBack({ io, folder, say }: Stage, { owner, reader, sources, victim }: FetchOptions): Promise<void> {
  const { bold, bad } = io.out.colours;
  const { remote } = await reader.session.at(`/@${owner.name}/`);
  const attr = await grantedStore(remote, { owner, reader, signal: io.signal });
  const who = reader === owner ? "" : ` as ${reader.name}, whom ${owner.name} granted that`;
  say(
    `\n${bold("Fetching everything back")}${who}${victim ? `; half-way, ${victim.name} is killed (SIGKILL) and stays dead` : "; with one node there is none to spare, so none is killed"}`,
  );
  const total = totalOf(sources);
  const meter = createMeter(io, { label: "get", total });
  let killedAtBytes: number | undefined;
  let killed: Promise<void> | undefined;
  const killHalfWay = (): void => {
    if (!victim || killed || meter.done.bytes < total.bytes / 2) return;
    killedAtBytes = meter.done.bytes;
    killed = victim.kill();
    meter.setLabel(`get without ${victim.name}`);
  };
  await meter.measure((onProgress) =>
    getTrees(remote, [{ attr, localPath: folder.fetchedDir }], {
      onProgress: (done) => {
        onProgress(done);
        killHalfWay();
      },
      recursive: true,
      signal: io.signal,
    }),
  );
  await killed;
  if (victim && (victim.isRunning() || killedAtBytes === undefined))
    throw new CollectiveError("internal", `${victim.name} was not killed while files were fetched`);
  if (victim) say(`  ${bad("kill")} ${victim.name} (pid ${victim.pid}) after ${formatSize(killedAtBytes ?? 0)}`);
  say(`  get  ${meter.summary()}; no read failed`);
}

interface CompareAllOptions {
  readonly sources: readonly Tree[];
  readonly victim: DemoProcess | undefined;
  readonly nodeCount: number;
}

export async function compareAll(
  { io, folder, startedWallMs, say }: Stage,
  { sources, victim, nodeCount }: CompareAllOptions,
): Promise<void> {
  const { bold, good } = io.out.colours;
  say(`\n${bold("Comparing")} what came back with the originals, by the SHA-256 of each file`);
  const meter = createMeter(io, { label: "compare", total: totalOf(sources) });
  const results: Comparison[] = [];
  await meter.measure(async (onProgress) => {
    for (const { path, name } of sources) {
      const roots = { original: path, copy: join(folder.fetchedDir, name) };
      results.push(await compareTrees(roots, { startedWallMs, signal: io.signal, onProgress }));
    }
  });
  const sum = (pick: (result: Comparison) => number): number => results.reduce((total, result) => total + pick(result), 0);
  const equal = {
    files: sum((result) => result.equalFiles),
    links: sum((result) => result.equalLinks),
    bytes: sum((result) => result.bytes),
  };
  const different = sum((result) => result.differentEntries);
  const changed = sum((result) => result.changedEntries);
  const counts = [`${countOf(equal.files, "file")} equal (${formatSize(equal.bytes)})`, `${countOf(equal.links, "symbolic link")} equal`];
  say(`  ${[...counts, `${formatCount(different)} different`].join(", ")} in ${formatDuration(meter.elapsedMs())}`);
  if (changed > 0) say(`  ${countOf(changed, "entry", "entries")} of the original changed meanwhile and could not be compared`);
  if (different > 0) {
    const first = results.flatMap((result) => result.differences).join("; ");
    throw new CollectiveError("internal", `${countOf(different, "entry", "entries")} came back other than stored: ${first}`);
  }
  const despite = victim ? `, though one of ${nodeCount} nodes is dead` : "";
  say(`  ${good("Every byte came back")}${despite}.`);
}
