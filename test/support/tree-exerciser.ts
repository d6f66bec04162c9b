/**
 * Random operations on one tree by several mounts and the command line in turn, each compared with a model in memory. After each, the other
 * mounts must show it: what is in a file at once when they open it, names and attributes within a second. One seed is one run.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import type { Random } from "../../src/core/random.ts";
import { type CommandRunner, succeed } from "./e2e-commands.ts";
import { mountCollective } from "./mounted-collective.ts";
import { startCollective } from "./process.ts";
import { attempt } from "./syscalls.ts";
import { createTreeModel, directoryMode, fileMode, type TreeModel, type TreePath } from "./tree-model.ts";

interface TreeExerciseOptions {
  /** The same directory, as each mount shows it. */
  readonly paths: readonly string[];
  /** And as commands name it. */
  readonly remotePath: string;
  readonly collective: CommandRunner;
  readonly operations: number;
  readonly random: Random;
  readonly onProgress?: (done: number) => void;
}

export interface TreeExerciseResult {
  /** The longest that another mount took to show a change. */
  readonly shownMsMax: number;
  readonly commands: number;
}

const names = ["a", "b", "c", "d"];
const depthMax = 3;
const fileBytesMax = 100_000;
/** A command takes as long as dozens of calls. */
const commandEvery = 40;
const wholeEvery = 500;
/** A second, and what a busy machine takes beyond it. */
const shownMsMost = 2_000;
const askAgainMs = 2;
const recentMax = 20;
const modes = [0o600, 0o644, 0o750, 0o777];

interface Operation {
  readonly shown: string;
  /** In which names may have changed, or attributes. */
  readonly touched: readonly TreePath[];
  readonly model: () => void;
  readonly real: () => void;
  /** Nothing but the content of this file has changed. */
  readonly content?: TreePath;
}

/** Rejects with the last operations when something is not as it should be. */
async function exerciseTree(options: TreeExerciseOptions): Promise<TreeExerciseResult> {
  const { paths, remotePath, collective, operations, random, onProgress } = options;
  const model = createTreeModel();
  const recent: string[] = [];
  let [longestMs, commands] = [0, 0];
  const fail = (what: string): never => {
    throw new Error(`${what}; the last operations:\n${recent.join("\n")}`);
  };
  const note = (line: string): void => {
    recent.push(line);
    if (recent.length > recentMax) recent.shift();
  };
  const showsNow = (base: string, path: TreePath): void => {
    const difference = differenceIn(model, base, path);
    if (difference !== undefined) fail(`${base} at once: ${difference}`);
  };
  const showsSoon = (base: string, touched: readonly TreePath[]): void => {
    const startedMs = performance.now();
    for (;;) {
      const difference = touched.map((path) => differenceAt(model, base, path)).find((found) => found !== undefined);
      const tookMs = performance.now() - startedMs;
      longestMs = Math.max(longestMs, tookMs);
      if (difference === undefined) return;
      if (tookMs > shownMsMost) fail(`${base} after ${tookMs.toFixed(0)} ms: ${difference}`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, askAgainMs);
    }
  };
  for (let done = 1; done <= operations; done++) {
    const isCommand = random.int(commandEvery) === 0;
    const client = random.int(paths.length);
    if (isCommand) {
      commands++;
      const { shown, touched } = await runCommand({ model, random, remotePath, collective });
      note(`command ${shown}`);
      for (const base of paths) showsSoon(base, touched);
    } else {
      const base = paths[client] ?? "";
      const operation = choose(model, random, base);
      note(`mount ${client} ${operation.shown}`);
      const expected = outcomeOf(operation.model);
      const found = outcomeOf(operation.real);
      if (expected !== found) fail(`mount ${client} gives ${found}, and should give ${expected}`);
      for (const other of paths) {
        if (other === base || expected !== "ok") continue;
        if (operation.content) showsNow(other, operation.content);
        showsSoon(other, operation.touched);
      }
      showsSoon(base, operation.touched);
    }
    if (done % wholeEvery === 0 || done === operations) {
      for (const base of paths) {
        showsSoon(base, [[], ...model.all()]);
        for (const path of model.all()) showsNow(base, path);
      }
      onProgress?.(done);
    }
  }
  return { shownMsMax: longestMs, commands };
}

/** Of a collective that is started for it. */
export async function exerciseMountedTree(
  options: Pick<TreeExerciseOptions, "operations" | "random" | "onProgress">,
): Promise<TreeExerciseResult> {
  await using collective = await startCollective({ nodes: 2 });
  await succeed(collective, ["mkdir", "/tree"]);
  await using one = await mountCollective(collective, "mnt-one");
  await using two = await mountCollective(collective, "mnt-two");
  return await exerciseTree({ ...options, paths: [one, two].map(({ path }) => join(path, "tree")), remotePath: "/tree", collective });
}

function outcomeOf(act: () => unknown): string {
  return String(
    attempt(() => {
      act();
      return "ok";
    }),
  );
}

function somePath(random: Random): TreePath {
  return Array.from({ length: 1 + random.int(depthMax) }, () => names[random.int(names.length)] as string);
}

/** More often one that is there than chance would have it. */
function likelyPath(model: TreeModel, random: Random): TreePath {
  const all = model.all();
  return random.int(4) === 0 ? somePath(random) : (all[random.int(all.length)] ?? somePath(random));
}

function bytesFrom(random: Random): Buffer {
  return Buffer.alloc(random.int(random.int(4) === 0 ? fileBytesMax : 2_000), 1 + random.int(255));
}

/** With `bytes` in it from there on. */
function patched(before: Buffer, bytes: Buffer, at: number): Buffer {
  const after = Buffer.alloc(Math.max(before.length, at + bytes.length));
  before.copy(after);
  bytes.copy(after, at);
  return after;
}

/** Never makes a file. */
function writeAt(path: string, bytes: Buffer, { flags, at }: { readonly flags: number; readonly at: number | null }): void {
  const fd = fs.openSync(path, fs.constants.O_WRONLY | flags);
  try {
    if (bytes.length > 0) fs.writeSync(fd, bytes, 0, bytes.length, at);
  } finally {
    fs.closeSync(fd);
  }
}

function choose(model: TreeModel, random: Random, base: string): Operation {
  const [path, likely, any] = [somePath(random), likelyPath(model, random), likelyPath(model, random)];
  // Over a directory that it is in nothing can be renamed; which error tells so depends on what the kernel is being told meanwhile.
  const other = any.length < likely.length && any.every((name, index) => likely[index] === name) ? likely : any;
  const [there, from, to] = [join(base, ...path), join(base, ...likely), join(base, ...other)];
  const bytes = bytesFrom(random);
  const target = `nowhere-${random.int(100)}`;
  const mode = modes[random.int(modes.length)] ?? 0;
  const [length, at] = [random.int(fileBytesMax), random.int(2_000)];
  const named = (what: string, on: readonly TreePath[], act: readonly [model: () => void, real: () => void]): Operation => ({
    shown: [what, ...on.map((one) => one.join("/"))].join(" "),
    touched: on.flatMap((one) => [one, one.slice(0, -1)]),
    model: act[0],
    real: act[1],
  });
  const content = (what: string, change: (before: Buffer) => Buffer, real: () => void): Operation => {
    const changed = (): void => {
      const file = model.file(likely);
      file.bytes = change(file.bytes);
    };
    return { ...named(what, [likely], [changed, real]), content: likely };
  };
  const resized = (before: Buffer): Buffer => patched(before.subarray(0, length), Buffer.alloc(0), length);
  const operations: readonly Operation[] = [
    named(
      `create ${bytes.length}`,
      [path],
      [() => model.create(path, bytes), () => fs.writeFileSync(there, bytes, { flag: "wx", mode: fileMode })],
    ),
    named("mkdir", [path], [() => model.makeDirectory(path), () => fs.mkdirSync(there, directoryMode)]),
    named("symlink", [path], [() => model.makeLink(path, target), () => fs.symlinkSync(target, there)]),
    named("link", [likely, other], [() => model.link(likely, other), () => fs.linkSync(from, to)]),
    named("rename", [likely, other], [() => model.rename(likely, other), () => fs.renameSync(from, to)]),
    named("unlink", [likely], [() => model.unlink(likely), () => fs.unlinkSync(from)]),
    named("rmdir", [likely], [() => model.removeDirectory(likely), () => fs.rmdirSync(from)]),
    named(`chmod ${mode.toString(8)}`, [likely], [() => model.setMode(likely, mode), () => fs.chmodSync(from, mode)]),
    content(`truncate ${length}`, resized, () => fs.truncateSync(from, length)),
    content(
      `append ${bytes.length}`,
      (before) => patched(before, bytes, before.length),
      () => writeAt(from, bytes, { flags: fs.constants.O_APPEND, at: null }),
    ),
    content(
      `write ${bytes.length} at ${at}`,
      (before) => (bytes.length > 0 ? patched(before, bytes, at) : before),
      () => writeAt(from, bytes, { flags: 0, at }),
    ),
    content(
      `replace ${bytes.length}`,
      () => bytes,
      () => writeAt(from, bytes, { flags: fs.constants.O_TRUNC, at: 0 }),
    ),
  ];
  return operations[random.int(operations.length)] as Operation;
}

/** What is wrong with how that looks, without opening it. */
function differenceAt(model: TreeModel, base: string, path: TreePath): string | undefined {
  const node = model.find(path);
  const at = join(base, ...path);
  const found = attempt(() => fs.lstatSync(at));
  const shown = path.join("/");
  if (node === undefined) return found === "ENOENT" || found === "ENOTDIR" ? undefined : `${shown} is still there`;
  if (typeof found === "string") return `${shown}: ${found}`;
  if (node.kind === "link") {
    const target = found.isSymbolicLink() ? attempt(() => fs.readlinkSync(at)) : "no link";
    return target === node.target ? undefined : `${shown} leads to ${target}, not ${node.target}`;
  }
  const isRoot = path.length === 0;
  if (!isRoot && (found.mode & 0o777) !== node.mode)
    return `${shown} has the mode ${(found.mode & 0o777).toString(8)}, not ${node.mode.toString(8)}`;
  if (node.kind === "directory") {
    if (!found.isDirectory()) return `${shown} is no directory`;
    const [listed, wanted] = [String(attempt(() => fs.readdirSync(at).sort())), String(model.list(path))];
    return listed === wanted ? undefined : `in ${shown || "the root"} are ${listed}, not ${wanted}`;
  }
  if (!found.isFile()) return `${shown} is no file`;
  if (found.nlink !== node.links) return `${shown} has ${found.nlink} names, not ${node.links}`;
  return found.size === node.bytes.length ? undefined : `${shown} has ${found.size} bytes, not ${node.bytes.length}`;
}

/** At once, by opening it. */
function differenceIn(model: TreeModel, base: string, path: TreePath): string | undefined {
  const node = model.find(path);
  if (node?.kind !== "file") return undefined;
  const found = attempt(() => fs.readFileSync(join(base, ...path)));
  if (typeof found === "string") return `${path.join("/")}: ${found}`;
  if (found.equals(node.bytes)) return undefined;
  const at = node.bytes.findIndex((byte, index) => byte !== found[index]);
  return `${path.join("/")} has ${found.length} bytes, and should have ${node.bytes.length}; they differ at ${at}`;
}

interface CommandContext extends Pick<TreeExerciseOptions, "collective" | "random" | "remotePath"> {
  readonly model: TreeModel;
}

/** One that must succeed. */
async function runCommand({ model, random, remotePath, collective }: CommandContext): Promise<Pick<Operation, "shown" | "touched">> {
  const path = likelyPath(model, random);
  const [node, parent] = [model.find(path), model.find(path.slice(0, -1))];
  const remote = [remotePath, ...path].join("/");
  const touched = [path, path.slice(0, -1)];
  if (node?.kind === "file") {
    const { stdoutBytes } = await succeed(collective, ["read", remote]);
    if (!node.bytes.equals(stdoutBytes)) throw new Error(`${remote} has ${stdoutBytes.length} bytes, and should have ${node.bytes.length}`);
    if (random.int(2) === 0) {
      node.bytes = bytesFrom(random);
      await succeed(collective, ["write", remote], { stdin: node.bytes });
      return { shown: `write ${remote}`, touched };
    }
    await succeed(collective, ["rm", remote]);
    model.unlink(path);
    return { shown: `rm ${remote}`, touched };
  }
  if (node === undefined && parent?.kind === "directory") {
    await succeed(collective, ["mkdir", remote]);
    model.makeDirectory(path);
    return { shown: `mkdir ${remote}`, touched };
  }
  await succeed(collective, ["ls", remotePath]);
  return { shown: "ls", touched: [] };
}
