/** A file system in memory that is really mounted, by a process of its own. */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why mounting cannot be tested here, undefined when it can. */
export function mountingImpossible(): string | undefined {
  if (process.platform !== "linux") return "mounting is for Linux";
  if (process.getuid?.() !== 0) return "needs root";
  const probe = Bun.spawnSync(["sh", "-c", "test -c /dev/fuse && exec 3<>/dev/fuse"], { stderr: "ignore" });
  return probe.success ? undefined : "needs /dev/fuse";
}

/** Why mounting by the helper of ordinary users cannot be tested here, undefined when it can. */
export function helperImpossible(): string | undefined {
  const reason = mountingImpossible();
  if (reason !== undefined) return reason;
  if (Bun.which("fusermount3") === null) return "needs fusermount3";
  if (Bun.which("setpriv") === null) return "needs setpriv";
  return (statSync("/dev/fuse").mode & 0o006) === 0o006 ? undefined : "needs /dev/fuse for everybody";
}

/** To run what follows as nobody. */
export const asNobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] as const;

export interface MountedMemory extends AsyncDisposable {
  readonly path: string;
  readonly process: Bun.Subprocess<"ignore", "pipe", "inherit">;
  /** Until it has printed that. */
  hear(text: string): Promise<void>;
  /** Asks it to stop and answers the last line that it printed. */
  stop(): Promise<string>;
}

export const program = join(import.meta.dir, "mount-memory.ts");

/** `command` is run in place of the source, as the executable is. */
export async function mountMemory(
  flags: readonly string[] = [],
  options: { readonly path?: string; readonly command?: readonly string[] } = {},
): Promise<MountedMemory> {
  const path = options.path ?? mkdtempSync(join(tmpdir(), "mount-"));
  const command = options.command ?? [process.execPath, program];
  const child = Bun.spawn([...command, path, ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  const more = async (): Promise<boolean> => {
    const { value, done } = await lines.read();
    said += value ?? "";
    return !done;
  };
  const hear = async (text: string): Promise<void> => {
    while (!said.includes(text)) {
      if (!(await more())) throw new Error(`it ended without saying ${text.trim()}, exit code ${await child.exited}`);
    }
  };
  await hear("mounted\n");
  const stop = async (): Promise<string> => {
    child.kill("SIGTERM");
    while (await more());
    await child.exited;
    return said.trim().split("\n").at(-1) ?? "";
  };
  return {
    path,
    process: child,
    hear,
    stop,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) await stop();
      Bun.spawnSync(["umount", "-l", path], { stderr: "ignore" });
      rmSync(path, { recursive: true, force: true });
    },
  };
}
