/** What an end-to-end test says about a command: it went well, or it failed in the one way it should. */
import { expect } from "bun:test";
import { join } from "node:path";
import { type ErrorCode, exitCodeOf } from "../../protocol/errors.ts";
import { type Collective, type Handle, type RunOptions, type RunResult, start } from "./process.ts";

export type CommandRunner = Pick<Collective, "run">;

/** Runs a command that must exit 0. */
export async function succeed(collective: CommandRunner, args: readonly string[], options?: Partial<RunOptions>): Promise<RunResult> {
  const result = await collective.run(args, options);
  if (result.exitCode !== 0) throw new Error(`collective ${args.join(" ")}: exit code ${result.exitCode}\n${result.stderr}`);
  return result;
}

export async function succeedJson(collective: CommandRunner, args: readonly string[]): Promise<unknown> {
  return JSON.parse((await succeed(collective, [...args, "--json"])).stdout);
}

export interface ExpectedFailure {
  readonly code: ErrorCode;
  /** In the line that says what failed and why. */
  readonly says: RegExp;
}

/**
 * The form of every error: one line `collective: <what>: <why> (<code>)`, at most one more that says
 * what to do, nothing on standard output, and the exit code that belongs to the code.
 */
export function expectFailure(result: Pick<RunResult, "exitCode" | "stderr" | "stdout">, { code, says }: ExpectedFailure): void {
  const lines = result.stderr.trimEnd().split("\n");
  expect(lines[0] ?? "").toMatch(/^collective: .+ \([a-z_]+\)$/);
  expect(lines[0] ?? "").toMatch(says);
  expect(lines[0] ?? "").toEndWith(` (${code})`);
  expect(lines.slice(2)).toEqual([]);
  expect(result.stdout).toBe("");
  expect(result.exitCode).toBe(exitCodeOf[code]);
}

/** Runs a command that must fail this way. */
export async function fail(
  collective: CommandRunner,
  args: readonly string[],
  expected: ExpectedFailure,
  options?: Partial<RunOptions>,
): Promise<void> {
  const result = await collective.run(args, options);
  try {
    expectFailure(result, expected);
  } catch (error) {
    throw new Error(`collective ${args.map((arg) => arg.slice(0, 80)).join(" ")}: exit code ${result.exitCode}\n${result.stderr}`, {
      cause: error,
    });
  }
}

/** Names, sizes, times and inodes of all there is, to compare before and after. */
export async function listing(collective: CommandRunner): Promise<string> {
  return (await succeed(collective, ["ls", "-R", "--json", "/"])).stdout;
}

export interface FileStatus {
  readonly version: number;
  readonly size: number;
  readonly inode: number;
  readonly chunks: readonly { readonly id: string; readonly copies: readonly { readonly node: string; readonly state: string }[] }[];
}

export async function statusOf(collective: CommandRunner, path: string): Promise<FileStatus> {
  return (await succeedJson(collective, ["stat", path])) as FileStatus;
}

export interface VerifyCounts {
  readonly files: number;
  readonly chunks: number;
  readonly copies: number;
  readonly bad: number;
  readonly missing: number;
}

export async function verifyCounts(collective: CommandRunner, path: string): Promise<VerifyCounts> {
  return JSON.parse((await collective.run(["verify", "-r", path, "--json"])).stdout) as VerifyCounts;
}

/** Waits for a condition by asking again; rejects with the last answer when it does not come true in time. */
export async function until<T>(
  ask: () => T | Promise<T>,
  holds: (answer: T) => boolean,
  { timeoutMs = 20_000, pollMs = 20 } = {},
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (performance.now() > deadlineMs) throw new Error(`not so within ${timeoutMs} ms, last: ${JSON.stringify(answer)?.slice(0, 2_000)}`);
    await Bun.sleep(pollMs);
  }
}

/** Arguments of another coordinator. */
export function coordinatorArgs(options: {
  readonly member?: string;
  readonly address?: string;
  readonly dataDirectory: string;
}): string[] {
  const { member = "alice@home.collective.local", address = "127.0.0.1:0", dataDirectory } = options;
  const places = ["--address", address, "--bootstrap-address", "127.0.0.1:0", "--metrics-address", "off", "--data-dir", dataDirectory];
  return ["serve", "--role", "coordinator", "--member", member, "--no-context", ...places];
}

/** Arguments of one more node of a collective, for what `startCollective` does not offer. */
export function nodeArgs(
  collective: Pick<Collective, "coordinator">,
  node: { readonly name: string; readonly dataDirectory: string; readonly address?: string; readonly flags?: readonly string[] },
): string[] {
  const { coordinator } = collective;
  const identity = ["serve", "--role", "node", "--member", "alice@home.collective.local", "--node-id", node.name];
  const joining = ["--coordinator", coordinator.address, "--enrol-from", coordinator.dataDirectory];
  const places = ["--address", node.address ?? "127.0.0.1:0", "--metrics-address", "off", "--data-dir", node.dataDirectory];
  return [...identity, ...joining, ...places, ...(node.flags ?? [])];
}

/** Starts one more node and waits until it is ready. */
export async function startNode(
  collective: Pick<Collective, "coordinator" | "env">,
  node: Parameters<typeof nodeArgs>[1],
): Promise<Handle> {
  const handle = start(nodeArgs(collective, node), { env: collective.env });
  await handle.waitForLine(/^ready /);
  return handle;
}

/** Has the coordinator certify a node that will live in the folder of its name, as somebody would who carries the folder over. */
export async function certifyNode(collective: Collective, name: string): Promise<void> {
  const output = join(collective.home.path, name, "credentials");
  await succeed(collective, ["auth", "cert", "--kind", "node", "--name", name, "--output", output]);
}

/** Starts it with that certificate and nothing else to go by. */
export async function startCertifiedNode(collective: Collective, name: string): Promise<Handle> {
  const { coordinator, home, env } = collective;
  const identity = ["serve", "--role", "node", "--member", "alice@home.collective.local", "--node-id", name];
  const places = ["--coordinator", coordinator.address, "--address", "127.0.0.1:0", "--metrics-address", "off"];
  const handle = start([...identity, ...places, "--data-dir", join(home.path, name)], { env });
  await handle.waitForLine(/^ready /);
  return handle;
}
