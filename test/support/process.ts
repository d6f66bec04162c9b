/**
 * Runs the executable as a person's shell would: copied away from the source tree, with an empty
 * environment but for what is given, in a home of its own.
 *
 * Invariants: no process and no file outlives the test that made it (`await using`); processes are ended
 * by their id only; waiting means waiting for a condition, never for a time. All run at debug level, and
 * what they say is searched for secrets (transcripts.ts).
 */
import { constants, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { capture } from "./capture.ts";
import { asUsual, loudest, record, watchHome } from "./transcripts.ts";

const loopback = "127.0.0.1:0";
const runTimeoutMs = 60_000;
const lineTimeoutMs = 30_000;
const stopTimeoutMs = 15_000;
const tailLines = 20;

export type Environment = Readonly<Record<string, string>>;

let copiedExecutable: string | undefined;
const running = new Set<Bun.Subprocess>();

/** Path of a copy of dist/collective that has no source tree and no node_modules around it; made once. */
export function executable(): string {
  if (copiedExecutable !== undefined) return copiedExecutable;
  const built = join(import.meta.dir, "../../dist/collective");
  if (!existsSync(built)) throw new Error("dist/collective is missing: build it with npm run build");
  const copy = join(mkdtempSync(join(tmpdir(), "collective-executable-")), "collective");
  copyFileSync(built, copy, constants.COPYFILE_FICLONE);
  copiedExecutable = copy;
  return copy;
}

/** Ends what tests left running and removes the copy of the executable; called when the last test is done. */
export function cleanUp(): void {
  for (const child of running) child.kill("SIGKILL");
  if (copiedExecutable !== undefined) rmSync(dirname(copiedExecutable), { recursive: true, force: true });
  copiedExecutable = undefined;
}

export interface TemporaryHome extends AsyncDisposable {
  /** A folder for anything the test needs; removed with all that is in it. */
  readonly path: string;
  /** `COLLECTIVE_HOME` and `HOME` below `path`. */
  readonly env: Environment;
}

export async function temporaryHome(): Promise<TemporaryHome> {
  const path = await mkdtemp(join(tmpdir(), "collective-home-"));
  const home = join(path, "home");
  mkdirSync(home);
  const watched = watchHome(path);
  const dispose = async (): Promise<void> => {
    try {
      watched.search();
    } finally {
      await rm(path, { recursive: true, force: true });
    }
  };
  return { path, env: { HOME: home, COLLECTIVE_HOME: join(home, ".collective") }, [Symbol.asyncDispose]: dispose };
}

export interface RunOptions {
  readonly env: Environment;
  readonly cwd?: string | undefined;
  readonly stdin?: string | Uint8Array | Blob | ReadableStream<Uint8Array> | undefined;
  readonly timeoutMs?: number | undefined;
}

export interface RunResult {
  /** 128 + the number of the signal when one ended it. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stdoutBytes: Uint8Array;
  readonly stderr: string;
}

/** Runs a command to its end, whatever that is; rejects only when it takes longer than `timeoutMs`. */
export async function run(args: readonly string[], { env, cwd, stdin, timeoutMs = runTimeoutMs }: RunOptions): Promise<RunResult> {
  const input = typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin;
  const child = Bun.spawn([executable(), ...args], { ...spawnOptions(env, cwd), stdin: input ?? "ignore" });
  running.add(child);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  try {
    const [stdoutBytes, stderr, exitCode] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited]);
    if (timedOut) throw new Error(`collective ${args.join(" ")} took longer than ${timeoutMs} ms\n${tailOf(stderr)}`);
    const stdout = new TextDecoder().decode(stdoutBytes);
    record({ args, stdout: () => stdout, stderr: () => stderr });
    return { exitCode, stdout, stdoutBytes, stderr: asUsual(args, stderr) };
  } finally {
    clearTimeout(timer);
    running.delete(child);
  }
}

export interface Handle extends AsyncDisposable {
  readonly pid: number;
  /** Resolves with the exit code, 128 + its number when a signal ended it. */
  readonly exited: Promise<number>;
  /** What it has printed so far. */
  stdout(): string;
  stderr(): string;
  /**
   * The first line of stdout that matches, printed before or after the call. Rejects with the end of
   * stderr when the process exits first or nothing matches within `timeoutMs`.
   */
  waitForLine(pattern: RegExp, options?: { readonly timeoutMs?: number }): Promise<RegExpExecArray>;
  /** SIGTERM; resolves with the exit code, rejects (and kills) when it does not end within a bounded time. */
  stop(): Promise<number>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<number>;
}

export interface StartOptions {
  readonly env: Environment;
  /** A command that runs it, as another user for example. */
  readonly under?: readonly string[] | undefined;
  readonly cwd?: string | undefined;
  readonly stdin?: Blob | ReadableStream<Uint8Array> | undefined;
}

/** Starts a command that runs on. Leaving the scope kills it. */
export function start(args: readonly string[], { env, under = [], cwd, stdin }: StartOptions): Handle {
  const child = Bun.spawn([...under, executable(), ...args], { ...spawnOptions(env, cwd), stdin: stdin ?? "ignore" });
  running.add(child);
  const what = `collective ${args.join(" ")}`;
  const stdout = capture(child.stdout);
  const stderr = capture(child.stderr);
  record({ args, stdout: stdout.text, stderr: stderr.text });
  const shownStderr = (): string => asUsual(args, stderr.text());
  const exited = Promise.all([child.exited, stdout.ended, stderr.ended]).then(([exitCode]) => {
    running.delete(child);
    return exitCode;
  });
  const failure = (why: string): Error => new Error(`${what}: ${why}\n${tailOf(stderr.text())}`);

  const waitForLine: Handle["waitForLine"] = async (pattern, { timeoutMs = lineTimeoutMs } = {}) => {
    const stateless = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ""));
    const found = stdout.find((line) => stateless.exec(line) ?? undefined);
    const match = await within(timeoutMs, Promise.race([found.match, exited.then(() => undefined)])).finally(found.stop);
    if (match === "late") throw failure(`no line like ${pattern} within ${timeoutMs} ms`);
    if (match === undefined) throw failure(`exited with ${await exited} before a line like ${pattern}`);
    return match;
  };
  const kill = (): Promise<number> => {
    child.kill("SIGKILL");
    return exited;
  };
  const stop = async (): Promise<number> => {
    child.kill("SIGTERM");
    const exitCode = await within(stopTimeoutMs, exited);
    if (exitCode !== "late") return exitCode;
    await kill();
    throw failure(`still ran ${stopTimeoutMs} ms after SIGTERM`);
  };
  return {
    pid: child.pid,
    exited,
    stdout: stdout.text,
    stderr: shownStderr,
    waitForLine,
    stop,
    kill,
    [Symbol.asyncDispose]: async () => void (await kill()),
  };
}

function spawnOptions(env: Environment, cwd: string | undefined) {
  const base = { PATH: process.env.PATH ?? "", TMPDIR: tmpdir(), LANG: "C.UTF-8", HOME: "/nonexistent", ...loudest };
  return { cwd: cwd ?? tmpdir(), env: { ...base, ...env }, stdout: "pipe", stderr: "pipe" } as const;
}

export interface CollectiveOptions {
  /** 3 when left out. They are called node-01, node-02 and so on. */
  readonly nodes?: number | undefined;
  readonly member?: string | undefined;
  /** Of each node: the same for all, or one for each in the order of their names. */
  readonly capacity?: string | readonly string[] | undefined;
  /** Further flags, for the coordinator and for each node. */
  readonly coordinatorFlags?: readonly string[] | undefined;
  readonly nodeFlags?: readonly string[] | undefined;
  /** On top of the temporary home's. */
  readonly env?: Environment | undefined;
}

/** A whole member on this machine: one coordinator and its nodes, each a process with a data directory and a port of its own. */
export interface Collective extends AsyncDisposable {
  readonly home: TemporaryHome;
  /** For `run` and `start`, with the administrator's context in its home. */
  readonly env: Environment;
  readonly coordinator: Service;
  /** In the order of their names. */
  readonly nodes: readonly Service[];
  /** `coordinator` or `node-01` and so on. */
  service(name: string): Service;
  /** The same command on the same port and data directory; ends the process first if it still runs. */
  restart(name: string): Promise<Service>;
  /** A command of the administrator, run to its end. */
  run(args: readonly string[], options?: Partial<RunOptions>): Promise<RunResult>;
  start(args: readonly string[], options?: { readonly stdin?: StartOptions["stdin"] }): Handle;
}

/** One process of the collective. After a restart the same object stands for the new process. */
export interface Service {
  readonly name: string;
  readonly dataDirectory: string;
  /** Host and port it listens on; the same after a restart. */
  readonly address: string;
  /** Of the process that runs now, or ran last. */
  readonly process: Handle;
}

interface ServiceState extends Service {
  address: string;
  process: Handle;
  readonly args: readonly string[];
}

/** Resolves when every process has said that it is ready. */
export async function startCollective(options: CollectiveOptions = {}): Promise<Collective> {
  const { nodes: nodeCount = 3, member = "alice@home.collective.local", capacity = "10GB" } = options;
  const home = await temporaryHome();
  const env = { ...home.env, ...options.env };
  const services = new Map<string, ServiceState>();

  const launch = async (name: string, args: readonly string[]): Promise<ServiceState> => {
    const dataDirectory = join(home.path, name);
    const all = [...args, "--metrics-address", loopback, "--data-dir", dataDirectory];
    const handle = start(["serve", "--address", loopback, ...all], { env });
    const service: ServiceState = { name, dataDirectory, address: "", process: handle, args: all };
    services.set(name, service);
    service.address = await readyAddress(handle);
    return service;
  };
  const service = (name: string): ServiceState => {
    const found = services.get(name);
    if (found === undefined) throw new Error(`no ${name} here, only ${[...services.keys()].join(", ")}`);
    return found;
  };
  const restart = async (name: string): Promise<Service> => {
    const state = service(name);
    await state.process.kill();
    state.process = start(["serve", "--address", state.address, ...state.args], { env });
    await readyAddress(state.process);
    return state;
  };
  const dispose = async (): Promise<void> => {
    await Promise.all([...services.values()].map((state) => state.process.kill()));
    await home[Symbol.asyncDispose]();
  };

  try {
    const coordinatorFlags = ["--role", "coordinator", "--member", member, "--bootstrap-address", loopback];
    const coordinator = await launch("coordinator", [...coordinatorFlags, ...(options.coordinatorFlags ?? [])]);
    const nodes = await Promise.all(
      Array.from({ length: nodeCount }, (_, index) => {
        const name = `node-${String(index + 1).padStart(2, "0")}`;
        const identity = ["--role", "node", "--node-id", name, "--member", member];
        const ownCapacity = typeof capacity === "string" ? capacity : (capacity[index] ?? "");
        const joining = ["--coordinator", coordinator.address, "--enrol-from", coordinator.dataDirectory, "--capacity", ownCapacity];
        return launch(name, [...identity, ...joining, ...(options.nodeFlags ?? [])]);
      }),
    );
    return {
      home,
      env,
      coordinator,
      nodes,
      service,
      restart,
      run: (args, more) => run(args, { env, ...more }),
      start: (args, more) => start(args, { env, ...more }),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function readyAddress(handle: Handle): Promise<string> {
  const [, address = ""] = await handle.waitForLine(/^ready role=\S+ name=\S+ address=(\S+)$/);
  return address;
}

async function within<T>(timeoutMs: number, promise: Promise<T>): Promise<T | "late"> {
  const { promise: late, resolve } = Promise.withResolvers<"late">();
  const timer = setTimeout(resolve, timeoutMs, "late");
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function tailOf(text: string): string {
  return text.trimEnd().split("\n").slice(-tailLines).join("\n");
}
