/**
 * One program that works on a mount while things go wrong, and notes what each call did. Its files lie in a directory of its own, where
 * nobody else writes; it reads others' too.
 *
 *   bun test/support/chaos-worker.ts OPTIONS
 *
 * OPTIONS are JSON: those below, and a seed. A file says what is happening (`ChaosPlan`). One line of JSON (`ChaosLine`) is printed for each
 * thing to be known; the last is the summary.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import { type Content, readRecords, recordBytes, recordsOf } from "./chaos-content.ts";
import { createWriterModel } from "./chaos-model.ts";

export interface ChaosPlan {
  readonly phase: string;
  /** From when on all should be well again; undefined while it is not. */
  readonly wellAtMs: number | undefined;
  /** Counts kills of the mount, by mount. */
  readonly kills: Readonly<Record<string, number>>;
  /** The mounts that are there. */
  readonly mounted: readonly string[];
  readonly isEnding: boolean;
}

export interface PhaseFigures {
  calls: number;
  /** By the name of the error. */
  failed: Record<string, number>;
  longestMs: number;
  longestCall: string;
  /** After the phase was declared well again. */
  firstSuccessMs: number | undefined;
  lastFailureMs: number | undefined;
}

export type ChaosLine =
  | { readonly type: "began"; readonly version: number; readonly ms: number }
  | { readonly type: "synced"; readonly file: number; readonly versions: readonly number[]; readonly ms: number }
  | { readonly type: "seen"; readonly content: Content; readonly fromMs: number; readonly untilMs: number }
  | { readonly type: "well"; readonly phase: string }
  | { readonly type: "wrong"; readonly what: string }
  | { readonly type: "summary"; readonly phases: Readonly<Record<string, PhaseFigures>>; readonly checked: number };

/** The same clock in all processes. */
export function sharedMs(): number {
  return performance.timeOrigin + performance.now();
}

function directoryOf(worker: number): string {
  return `worker-${worker}`;
}

const names = ["a/0", "a/1", "a/2", "b/0", "b/1", "b/2"];
const recordsMax = 64;
const unsyncedMax = 20;
const filesPerWorker = 1_000_000;
const pauseMs = 2;
const whileAwayMs = 20;
/** What programs are told while something is away. */
const honest = new Set(["EIO", "ETIMEDOUT"]);

class CallFailed extends Error {
  readonly code: string;
  constructor(code: string, what: string) {
    super(`${what}: ${code}`);
    this.code = code;
  }
}

export interface ChaosWorkerOptions {
  readonly planPath: string;
  readonly random: Random;
  /** Where the datastore is. */
  readonly path: string;
  /** The same by another mount. */
  readonly otherPath: string;
  readonly mount: string;
  readonly worker: number;
  readonly workers: number;
}

class ChaosWorker {
  readonly #options: ChaosWorkerOptions;
  readonly #model = createWriterModel(names);
  readonly #phases: Record<string, PhaseFigures> = {};
  readonly #scratch = Buffer.alloc((recordsMax + 1) * recordBytes);
  #plan: ChaosPlan;
  #kills: number;
  #file: number;
  #version = 0;
  #checked = 0;

  constructor(options: ChaosWorkerOptions) {
    this.#options = options;
    this.#file = options.worker * filesPerWorker;
    this.#plan = this.#readPlan();
    this.#kills = this.#killCount();
  }

  run(): void {
    const actions = [
      this.#create,
      this.#create,
      this.#overwrite,
      this.#overwrite,
      this.#rewrite,
      this.#append,
      this.#append,
      this.#rename,
      this.#unlink,
      this.#read,
      this.#read,
      this.#readOther,
      this.#readOther,
      this.#look,
    ];
    for (const name of names) fs.mkdirSync(join(this.#path(name), ".."), { recursive: true });
    while (!this.#plan.isEnding) {
      const action = actions[this.#int(actions.length)];
      this.#step(() => action?.call(this, this.#name()));
    }
    for (const name of names) this.#settle(name);
    this.#say({ type: "summary", phases: this.#phases, checked: this.#checked });
  }

  /** At the end all is well: what is there is there by both mounts. */
  #settle(name: string): void {
    this.#step(() => {
      this.#read(name);
      if (!this.#model.mayBe(name, "present")) return;
      this.#withFile(name, "r+", (fd) => this.#sync(fd, name));
      const found = this.#contentAt(join(this.#options.otherPath, directoryOf(this.#options.worker), name));
      this.#judge(`${name} by the other mount`, name, found);
    });
  }

  #step(act: () => void): void {
    pause(pauseMs);
    this.#plan = this.#readPlan();
    this.#noteKill();
    while (!this.#plan.mounted.includes(this.#options.mount)) {
      pause(whileAwayMs);
      this.#plan = this.#readPlan();
    }
    let failure: unknown;
    try {
      act();
    } catch (error) {
      failure = error;
    }
    this.#plan = this.#readPlan();
    if (this.#noteKill() || failure === undefined) return;
    if (failure instanceof CallFailed && honest.has(failure.code)) return;
    this.#say({ type: "wrong", what: `worker ${this.#options.worker}, ${this.#plan.phase}: ${(failure as Error).message}` });
  }

  #readPlan(): ChaosPlan {
    return JSON.parse(fs.readFileSync(this.#options.planPath, "utf8")) as ChaosPlan;
  }

  #killCount(): number {
    return this.#plan.kills[this.#options.mount] ?? 0;
  }

  #noteKill(): boolean {
    if (this.#kills === this.#killCount()) return false;
    this.#kills = this.#killCount();
    this.#model.mountKilled();
    return true;
  }

  #figures(): PhaseFigures {
    const { phase } = this.#plan;
    this.#phases[phase] ??= { calls: 0, failed: {}, longestMs: 0, longestCall: "", firstSuccessMs: undefined, lastFailureMs: undefined };
    return this.#phases[phase];
  }

  /** One call of the system, of which nothing is done when the mount was killed since the last one. */
  #call<T>(what: string, make: () => T): T {
    this.#plan = this.#readPlan();
    if (this.#kills !== this.#killCount()) throw new CallFailed("killed", what);
    const figures = this.#figures();
    const fromMs = sharedMs();
    try {
      return make();
    } catch (error) {
      const { code = "unknown" } = error as NodeJS.ErrnoException;
      // That there is no such file may well be the answer.
      if (!["ENOENT", "EEXIST", "ESTALE"].includes(code)) {
        figures.failed[code] = (figures.failed[code] ?? 0) + 1;
        figures.lastFailureMs = sharedMs();
      }
      throw new CallFailed(code, what);
    } finally {
      figures.calls++;
      const tookMs = sharedMs() - fromMs;
      if (tookMs > figures.longestMs) Object.assign(figures, { longestMs: tookMs, longestCall: what });
    }
  }

  #say(line: ChaosLine): void {
    fs.writeSync(1, `${JSON.stringify(line)}\n`);
  }

  #int(below: number): number {
    return this.#options.random.int(below);
  }

  #name(): string {
    return names[this.#int(names.length)] as string;
  }

  #path(name: string): string {
    return join(this.#options.path, directoryOf(this.#options.worker), name);
  }

  /** Fails for good when there is something else than may be. */
  #judge(what: string, name: string, found: Content | undefined): void {
    const mistake = this.#model.judge(name, found);
    this.#checked++;
    if (mistake !== undefined) throw new Error(`${what}: ${mistake}`);
  }

  /** `mayGo`: somebody may remove it between the look at its name and the opening. */
  #contentAt(path: string, { mayGo = false } = {}): Content | undefined {
    try {
      const fd = this.#call("open", () => fs.openSync(path, "r"));
      try {
        const length = this.#call("read", () => fs.readSync(fd, this.#scratch, 0, this.#scratch.length, 0));
        return readRecords(this.#scratch.subarray(0, length));
      } finally {
        this.#call("close", () => fs.closeSync(fd));
      }
    } catch (error) {
      const gone = mayGo ? ["ENOENT", "ESTALE"] : ["ENOENT"];
      if (error instanceof CallFailed && gone.includes(error.code)) return undefined;
      throw error;
    }
  }

  #withFile(name: string, flags: string, use: (fd: number) => void): void {
    const fd = this.#call(`open ${flags}`, () => fs.openSync(this.#path(name), flags));
    try {
      use(fd);
    } finally {
      this.#call("close", () => fs.closeSync(fd));
    }
  }

  #write(fd: number, name: string, index: number): void {
    const { file, versions } = this.#model.latest(name) ?? { file: 0, versions: [] };
    const version = ++this.#version;
    const count = 1 + this.#int(Math.max(1, Math.min(16, recordsMax - index)));
    const next = { file, versions: [...versions.slice(0, index), ...Array(count).fill(version), ...versions.slice(index + count)] };
    this.#say({ type: "began", version: this.#options.worker * filesPerWorker + version, ms: sharedMs() });
    const bytes = recordsOf(file, index, Array(count).fill(version));
    try {
      const written = this.#call("write", () => fs.writeSync(fd, bytes, 0, bytes.length, index * recordBytes));
      if (written !== bytes.length) throw new Error(`${written} of ${bytes.length} bytes were taken`);
    } catch (error) {
      this.#model.perhaps(name, next);
      throw error;
    }
    this.#model.wrote(name, next);
    if (this.#int(2) === 0 || this.#model.unsynced(name) > unsyncedMax) this.#sync(fd, name);
  }

  #sync(fd: number, name: string): void {
    this.#call("fsync", () => fs.fsyncSync(fd));
    this.#model.synced(name);
    const state = this.#model.latest(name);
    if (state) this.#say({ type: "synced", ...state, ms: sharedMs() });
    const { phase, wellAtMs } = this.#plan;
    const figures = this.#figures();
    if (wellAtMs === undefined || figures.firstSuccessMs !== undefined) return;
    figures.firstSuccessMs = sharedMs() - wellAtMs;
    this.#say({ type: "well", phase });
  }

  /** A file that is known to be there, and how; looks first where that is not known. */
  #present(name: string): Content | undefined {
    if (!this.#model.isCertain(name) || this.#int(4) === 0) this.#read(name);
    return this.#model.latest(name);
  }

  #create(name: string): void {
    if (!this.#model.mayBe(name, "absent")) return;
    const empty: Content = { file: ++this.#file, versions: [] };
    let fd: number;
    try {
      fd = this.#call("create", () => fs.openSync(this.#path(name), "wx"));
    } catch (error) {
      if (error instanceof CallFailed && error.code === "EEXIST" && this.#model.mayBe(name, "present")) return;
      this.#model.perhaps(name, empty);
      throw error;
    }
    this.#model.named(name, empty);
    try {
      this.#write(fd, name, 0);
    } finally {
      this.#call("close", () => fs.closeSync(fd));
    }
  }

  #overwrite(name: string): void {
    const state = this.#present(name);
    if (state) this.#withFile(name, "r+", (fd) => this.#write(fd, name, this.#int(state.versions.length + 1)));
  }

  #append(name: string): void {
    const state = this.#present(name);
    if (state && state.versions.length < recordsMax) this.#withFile(name, "a", (fd) => this.#write(fd, name, state.versions.length));
  }

  #rewrite(name: string): void {
    const state = this.#present(name);
    if (!state) return;
    const empty: Content = { file: state.file, versions: [] };
    let fd: number;
    try {
      fd = this.#call("truncate", () => fs.openSync(this.#path(name), "w"));
    } catch (error) {
      this.#model.perhaps(name, empty);
      throw error;
    }
    this.#model.wrote(name, empty);
    try {
      this.#write(fd, name, 0);
    } finally {
      this.#call("close", () => fs.closeSync(fd));
    }
  }

  #rename(name: string): void {
    const to = this.#name();
    if (to === name || !this.#present(name)) return;
    try {
      this.#call("rename", () => fs.renameSync(this.#path(name), this.#path(to)));
    } catch (error) {
      this.#model.perhapsRenamed(name, to);
      throw error;
    }
    this.#model.renamed(name, to);
  }

  #unlink(name: string): void {
    if (!this.#present(name)) return;
    try {
      this.#call("unlink", () => fs.unlinkSync(this.#path(name)));
    } catch (error) {
      this.#model.perhaps(name, undefined);
      throw error;
    }
    this.#model.named(name, undefined);
  }

  #read(name: string): void {
    this.#judge(name, name, this.#contentAt(this.#path(name)));
  }

  #readOther(name: string): void {
    const { path, worker, workers } = this.#options;
    const other = (worker + 1 + this.#int(workers - 1)) % workers;
    const fromMs = sharedMs();
    const content = this.#contentAt(join(path, directoryOf(other), name), { mayGo: true });
    if (content) this.#say({ type: "seen", content, fromMs, untilMs: sharedMs() });
  }

  #look(name: string): void {
    const listed = this.#call("readdir", () => fs.readdirSync(join(this.#path(name), "..")));
    this.#checked++;
    const model = this.#model;
    for (const each of names.filter((one) => one.startsWith(name.slice(0, 2)))) {
      const isListed = listed.includes(each.slice(2));
      if (!model.mayBe(each, isListed ? "present" : "absent")) throw new Error(`${each} ${isListed ? "is" : "is not"} listed`);
    }
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

if (import.meta.main) {
  const [given = ""] = Bun.argv.slice(2);
  const { seed, ...options } = JSON.parse(given) as Omit<ChaosWorkerOptions, "random"> & { readonly seed: number };
  new ChaosWorker({ ...options, random: createSeededRandom(seed) }).run();
}
