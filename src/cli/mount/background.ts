/** Starts this same command once more, to stay when this one ends: it does when the mount can be used, or cannot be. */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { CollectiveError, isErrorCode } from "../../../protocol/errors.ts";
import { ownCommand } from "../../core/program.ts";
import type { Io } from "../io.ts";

export interface BackgroundRequest {
  readonly mountPoint: string;
  /** Flags, but `--foreground`. */
  readonly passedOn: readonly string[];
}

export async function mountInBackground(io: Io, { mountPoint, passedOn }: BackgroundRequest): Promise<void> {
  const place = resolve(mountPoint);
  const folder = join(io.home, "mounts");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const logPath = join(folder, `${place.slice(1).replaceAll("/", "-")}.log`);
  const log = openSync(logPath, "w", 0o600);
  const [program = "", ...first] = ownCommand();
  const args = [...first, "mount", "--foreground", ...passedOn, "--", place];
  const child = spawn(program, args, {
    detached: true,
    cwd: "/",
    env: { ...io.environment, COLLECTIVE_HOME: resolve(io.home) },
    stdio: ["ignore", "pipe", log],
  });
  closeSync(log);
  const stop = (): void => void child.kill("SIGTERM");
  io.signal.addEventListener("abort", stop, { once: true });
  const isReady = await new Promise<boolean>((settle) => {
    child.stdout?.once("data", () => settle(true));
    child.once("exit", () => settle(false));
    child.once("error", () => settle(false));
  });
  io.signal.removeEventListener("abort", stop);
  if (!isReady) throw failureOf(await readFile(logPath, "utf8"));
  child.stdout?.destroy();
  child.unref();
  if (io.err.isTerminal) io.stderr.write(`mounted at ${place}; messages go to ${logPath}\n`);
}

/** What the command would have said here, `collective: mount: why (code)` and perhaps a hint, said by this one. */
function failureOf(said: string): CollectiveError {
  const lines = said.trim().split("\n");
  const at = lines.findLastIndex((line) => reportPattern.test(line));
  const [, message, code] = reportPattern.exec(lines[at] ?? "") ?? [];
  if (message === undefined || !isErrorCode(code)) return new CollectiveError("internal", lines.at(-1) || "it ended without a word");
  return new CollectiveError(code, message, { hint: lines[at + 1] });
}

const reportPattern = /^collective: mount: (.*) \((\w+)\)$/;
