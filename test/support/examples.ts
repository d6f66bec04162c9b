/** Runs the script of an example as its README says, away from the repository: it may need nothing of it but the executable. */
import { cpSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { executable, temporaryHome } from "./process.ts";

const examples = join(import.meta.dir, "../../examples");

export function examplePath(...parts: readonly string[]): string {
  return join(examples, ...parts);
}

const anyPort = "127.0.0.1:0";
/** Tests run beside each other and beside whatever else this machine serves. */
const ports = {
  COLLECTIVE_COORDINATOR_ADDRESS: anyPort,
  COLLECTIVE_BOOTSTRAP_ADDRESS: anyPort,
  COLLECTIVE_NODE_ADDRESS: anyPort,
  COLLECTIVE_METRICS_ADDRESS: anyPort,
};

export interface ExampleRun {
  /** Of the script, which has ended. */
  readonly pid: number;
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** In the folder for temporary files. */
  readonly left: readonly string[];
  /** Whether it touched what the person has of their own. */
  readonly touchedHome: boolean;
}

export interface ExampleOptions {
  readonly args?: readonly string[];
  /** The configuration's own ports where that harms nobody. */
  readonly ownPorts?: boolean;
  readonly path?: string;
}

export async function runExample(name: string, options: ExampleOptions = {}): Promise<ExampleRun> {
  const { args = [], ownPorts = false, path = process.env.PATH ?? "" } = options;
  await using home = await temporaryHome();
  const temporary = join(home.path, "temporary");
  mkdirSync(temporary);
  cpSync(examples, join(home.path, "examples"), { recursive: true });
  const env = { PATH: path, ...home.env, ...(ownPorts ? {} : ports), TMPDIR: temporary, COLLECTIVE: executable() };
  const child = Bun.spawn([join(home.path, "examples", name, "run.sh"), ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return {
    pid: child.pid,
    exitCode,
    stdout,
    stderr,
    left: readdirSync(temporary),
    touchedHome: existsSync(join(home.path, "home", ".collective")),
  };
}

export const wentWell = { exitCode: 0, stderr: "", left: [], touchedHome: false } as const;
