/**
 * The processes of a demo: this very executable, once for each role, with logs of their own.
 *
 * Invariant: none outlives the demo. A stop asks them and then means it; an exit of any other kind kills
 * them; and should the demo itself be killed, the runtime of each ends it with its parent.
 */

import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError } from "../../../protocol/errors.ts";
import type { Clock } from "../../core/clock.ts";
import { ownCommand } from "../../core/program.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface DemoProcess {
  /** `coordinatorName` or the id of a node. */
  readonly name: string;
  readonly pid: number;
  /** `host:port` it listens on. */
  readonly address: string;
  isRunning(): boolean;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

export interface ProcessToStart {
  readonly name: string;
  /** Whose it is, in a word. */
  readonly member: string;
  readonly args: readonly string[];
}

export interface Processes extends AsyncDisposable {
  /** Resolves when it is ready to serve; throws `unavailable` with the last line of its log when it ends before. */
  start(process: ProcessToStart): Promise<DemoProcess>;
}

export interface ProcessesOptions {
  readonly environment: Environment;
  /** Exists; each process writes `<member>-<name>.log` into it. */
  readonly logDir: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export const coordinatorName = "coordinator";

const readyMsMax = 30_000;
const stopMsMax = 10_000;

/** A demo is not configured by what the person configured for their own collective. */
export function demoEnvironment(environment: Environment, home: string): Environment {
  const foreign = Object.entries(environment).filter(([name]) => !name.startsWith("COLLECTIVE_") || name === "COLLECTIVE_DEBUG");
  return { ...Object.fromEntries(foreign), COLLECTIVE_HOME: home };
}

export function createProcesses({ environment, logDir, clock, signal }: ProcessesOptions): Processes {
  const children: { readonly name: string; readonly child: Bun.Subprocess }[] = [];
  let isOver = false;
  const killAll = (): void => {
    for (const { child } of children) child.kill("SIGKILL");
  };
  // Before anything else that waits for the exit: whoever removes their files must not race them.
  process.prependListener("exit", killAll);

  return {
    start: async ({ name, member, args }) => {
      // Members start side by side: when one fails, another one may still be about to start its nodes.
      if (isOver) throw new CollectiveError("cancelled", "the demo has ended");
      const logPath = join(logDir, `${member}-${name}.log`);
      const child = spawn(args, { environment, logPath });
      children.push({ name, child });
      const waiting = new AbortController();
      const given = AbortSignal.any([signal, waiting.signal]);
      const address = await Promise.race([readyAddress(child.stdout), clock.sleep(readyMsMax, given)]).finally(() => waiting.abort());
      if (address === undefined) {
        throw new CollectiveError("unavailable", `${member}'s ${name} did not start: ${await lastLineOf(logPath)}`);
      }
      return {
        name,
        pid: child.pid,
        address,
        isRunning: () => child.exitCode === null && child.signalCode === null,
        kill: async () => {
          child.kill("SIGKILL");
          await child.exited;
        },
      };
    },
    [Symbol.asyncDispose]: async () => {
      isOver = true;
      // Nodes say goodbye to a coordinator that still listens.
      const stopAll = (which: (name: string) => boolean) =>
        Promise.all(children.filter(({ name }) => which(name)).map(({ child }) => stop(child, clock)));
      await stopAll((name) => name !== coordinatorName);
      await stopAll((name) => name === coordinatorName);
      process.off("exit", killAll);
    },
  };
}

function spawn(args: readonly string[], options: { environment: Environment; logPath: string }): Bun.Subprocess<"ignore", "pipe", number> {
  const log = openSync(options.logPath, "a", 0o600);
  try {
    return Bun.spawn([...ownCommand(), ...args], {
      env: { ...options.environment, BUN_FEATURE_FLAG_NO_ORPHANS: "1" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: log,
      // Ctrl-C is for the demo, which then stops its processes in order.
      detached: true,
    });
  } finally {
    closeSync(log);
  }
}

/** Undefined when it ends without getting ready. */
async function readyAddress(stdout: ReadableStream<Uint8Array>): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stdout) {
    text += decoder.decode(bytes, { stream: true });
    const [, address] = /^ready .*\baddress=(\S+)\n/m.exec(text) ?? [];
    if (address !== undefined) return address;
  }
  return undefined;
}

async function stop(child: Bun.Subprocess, clock: Clock): Promise<void> {
  child.kill("SIGTERM");
  const waiting = new AbortController();
  const late = clock.sleep(stopMsMax, waiting.signal).then(
    () => child.kill("SIGKILL"),
    () => undefined,
  );
  await child.exited;
  waiting.abort();
  await late;
}

/** Its own error line where there is one. */
async function lastLineOf(path: string): Promise<string> {
  const lines = (await readFile(path, "utf8").catch(() => "")).trimEnd().split("\n");
  return lines.findLast((line) => line.startsWith("collective: ")) ?? (lines.at(-1) || "it said nothing");
}
