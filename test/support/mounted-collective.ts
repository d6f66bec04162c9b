/** The collective as a directory, mounted by the real executable in a process of its own. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Collective, Handle } from "./process.ts";

export interface MountedCollective extends AsyncDisposable {
  readonly path: string;
  readonly process: Handle;
}

export async function mountCollective(collective: Collective, name: string, flags: readonly string[] = []): Promise<MountedCollective> {
  const path = join(collective.home.path, name);
  if (!existsSync(path) && !isDead(path)) mkdirSync(path);
  const handle = collective.start(["mount", path, "--foreground", ...flags]);
  await handle.waitForLine(/^ready mount=/);
  return {
    path,
    process: handle,
    [Symbol.asyncDispose]: async () => {
      await handle.stop().catch(() => undefined);
      Bun.spawnSync(["umount", "-l", path], { stderr: "ignore" });
    },
  };
}

/** A dead mount point is there, and nothing can look at it. */
function isDead(path: string): boolean {
  return Bun.spawnSync(["mountpoint", "-q", path]).exitCode !== 0 && mountsAt(path) > 0;
}

export function mountsAt(path: string): number {
  const { stdout } = Bun.spawnSync(["cat", "/proc/self/mountinfo"]);
  return stdout
    .toString()
    .split("\n")
    .filter((line) => line.split(" ")[4] === path).length;
}

/** Runs a program to its end and answers what it printed; fails with what it complained about. */
export async function program(command: readonly string[], cwd: string): Promise<string> {
  const child = Bun.spawn([...command], {
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, GIT_CONFIG_GLOBAL: "/dev/null" },
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${exitCode}: ${stderr}`);
  return stdout;
}
