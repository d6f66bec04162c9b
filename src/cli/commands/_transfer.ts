/** `put` and `get`, and their older names: targets as in cp(1). */
import { realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CollectiveError, toCollectiveError } from "../../../protocol/errors.ts";
import { rootInode } from "../../../protocol/ids.ts";
import { routes } from "../../../protocol/routes.ts";
import { placeOf, statPath } from "../../client/files.ts";
import { type GetTarget, getTrees } from "../../client/get-tree.ts";
import { type PutOptions, type PutTarget, putTrees } from "../../client/put-tree.ts";
import type { Remote } from "../../client/remote.ts";
import type { RemotePlace } from "../../client/remote-tree.ts";
import { formatSize } from "../../core/units.ts";
import type { Io } from "../io.ts";
import type { Progress } from "../output/progress.ts";
import { transferProgress } from "../progress.ts";
import { openSession } from "../session.ts";
import { warnDegraded } from "../warnings.ts";

export interface TransferRequest {
  readonly sources: readonly string[];
  readonly target: string;
  readonly recursive: boolean;
}

export async function putPaths(io: Io, { sources, target, recursive }: TransferRequest): Promise<void> {
  const { remote, components } = await (await openSession(io)).at(target);
  const targets = await putTargets({ sources, target, remote, components, signal: io.signal });
  using progress = transferProgress(io, { label: "put" });
  const startedMs = io.clock.monotonicMs();
  const totals = await putTrees(remote, targets, {
    recursive,
    signal: io.signal,
    ...shownBy(progress),
    onNote: (line) => progress.note(line),
  });
  progress.finish();
  summarize(io, { verb: "stored", totals, elapsedMs: io.clock.monotonicMs() - startedMs });
  warnDegraded(io, totals);
}

interface PutRequest extends Omit<RemotePlace, "member"> {
  readonly sources: readonly string[];
  /** As it was typed. */
  readonly target: string;
  readonly signal: AbortSignal;
}

async function putTargets(request: PutRequest): Promise<PutTarget[]> {
  const { remote, components } = request;
  const call = { signal: request.signal };
  const { attr: existing, parent } = await remote.control.call(routes.resolve, { components: [...components] }, call);
  if (existing?.type === "directory") {
    const ownName = components.at(-1);
    return await Promise.all(
      request.sources.map(async (localPath) => {
        if (meansContents(localPath) && parent && ownName !== undefined) return { localPath, parent, name: ownName, existing };
        const name = basename(resolve(localPath));
        const inside = await placeOf(remote, [...components, name], request.signal);
        return { localPath, parent: inside.parent, name, existing: inside.existing };
      }),
    );
  }
  const [localPath, second] = request.sources;
  if (localPath === undefined || second !== undefined)
    throw new CollectiveError("not_a_directory", `${request.target} is not a directory, and several things cannot become one`);
  const place = await placeOf(remote, components, request.signal);
  return [{ localPath, parent: place.parent, name: place.name, existing: place.existing }];
}

export async function getPaths(io: Io, { sources, target, recursive }: TransferRequest): Promise<void> {
  const session = await openSession(io);
  const places = await Promise.all(sources.map((text) => session.at(text)));
  const targets = await getTargets({ places, sources, target, signal: io.signal });
  using progress = transferProgress(io, { label: "get" });
  const startedMs = io.clock.monotonicMs();
  const totals = { files: 0, skippedFiles: 0, plainBytes: 0 };
  const shown = shownBy(progress);
  for (const [remote, there] of Map.groupBy(targets, (found) => found.remote)) {
    const fetched = await getTrees(remote, there, { recursive, signal: io.signal, ...shown, onNote: (line) => progress.note(line) });
    totals.files += fetched.files;
    totals.skippedFiles += fetched.skippedFiles;
    totals.plainBytes += fetched.plainBytes;
  }
  progress.finish();
  summarize(io, { verb: "fetched", totals, elapsedMs: io.clock.monotonicMs() - startedMs });
}

interface GetRequest {
  /** Of the sources, in their order. */
  readonly places: readonly RemotePlace[];
  readonly sources: readonly string[];
  readonly target: string;
  readonly signal: AbortSignal;
}

async function getTargets(request: GetRequest): Promise<(GetTarget & { readonly remote: Remote })[]> {
  const local = await stat(request.target).catch(() => undefined);
  const inside = local?.isDirectory() === true;
  if (!inside && request.sources.length > 1)
    throw new CollectiveError("not_a_directory", `${request.target} is not a directory, and several things cannot become one`);
  if (!inside) await assertFolder(dirname(resolve(request.target)));
  if (local && !inside && !local.isFile()) {
    throw new CollectiveError("invalid_argument", `${request.target} is neither a file nor a directory`, {
      hint: "print it with: collective read",
    });
  }
  // As cp(1) does: what a link at the target points to is replaced, not the link.
  const newName = local?.isFile() ? await realpath(request.target) : request.target;
  return await Promise.all(
    request.places.map(async ({ remote, components }, index) => {
      const text = request.sources[index] ?? "";
      const attr = await statPath(remote, components, request.signal);
      const name = components.at(-1);
      if (attr.inode === rootInode || name === undefined)
        throw new CollectiveError("invalid_argument", "the root cannot be fetched as a whole", { hint: "name the datastores to fetch" });
      return { remote, attr, localPath: inside && !meansContents(text) ? join(request.target, name) : newName };
    }),
  );
}

async function assertFolder(path: string): Promise<void> {
  const stats = await stat(path).catch((error: unknown) => Promise.reject(toCollectiveError(error)));
  if (!stats.isDirectory()) throw new CollectiveError("not_a_directory", `${path} is not a directory`);
}

/** As to cp(1), `tree/.` is what is in the tree, so that it goes into the target itself; `tree` goes there by its name. */
function meansContents(source: string): boolean {
  return /(^|\/)\.{1,2}\/*$/.test(source);
}

/** What a transfer tells of itself, on the progress line. */
function shownBy(progress: Progress): Pick<PutOptions, "onFound" | "onProgress"> {
  const found = { files: 0, bytes: 0 };
  return {
    onFound: ({ files, bytes }) => {
      found.files += files;
      found.bytes += bytes;
      progress.setTotal(found);
    },
    onProgress: (done) => progress.add(done),
  };
}

interface Summary {
  readonly verb: string;
  readonly totals: { readonly files: number; readonly skippedFiles: number; readonly plainBytes: number };
  readonly elapsedMs: number;
}

function summarize(io: Io, { verb, totals, elapsedMs }: Summary): void {
  if (!io.err.isTerminal) return;
  const skipped = totals.skippedFiles === 0 ? "" : `, ${totals.skippedFiles} unchanged`;
  io.stderr.write(
    `${verb} ${totals.files} ${totals.files === 1 ? "file" : "files"}, ${formatSize(totals.plainBytes)}${skipped} in ${(elapsedMs / 1000).toFixed(1)} s\n`,
  );
}
