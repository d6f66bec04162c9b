/** A file system in memory that is really mounted, by a process of its own. */
import { mkdtempSync, rmSync } from "node:fs";
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
  const missing = ["fusermount3", "setpriv", "unshare", "nsenter"].find((name) => Bun.which(name) === null);
  return missing === undefined ? undefined : `needs ${missing}`;
}

export interface AsNobody extends AsyncDisposable {
  /** To run what follows as nobody. */
  readonly under: readonly string[];
  /** What a shell prints, errors too. */
  run(script: string): string;
}

/** An ordinary user on a machine where everybody may open /dev/fuse, as on most: in a mount namespace of its own, gone with this process. */
export async function becomeNobody(): Promise<AsNobody> {
  const device = "mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse";
  const holder = Bun.spawn(["unshare", "--mount", "--propagation", "private", "sh", "-c", `${device} && echo ready && exec cat`], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const { value } = await holder.stdout.getReader().read();
  if (value === undefined) throw new Error(`no mount namespace could be made, exit code ${await holder.exited}`);
  const user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
  const under = ["nsenter", `--target=${holder.pid}`, "--mount", ...user];
  return {
    under,
    run: (script) =>
      Bun.spawnSync([...under, "sh", "-c", `cd /; exec 2>&1; ${script}`], {
        env: { LC_ALL: "C", PATH: process.env.PATH ?? "" },
      }).stdout.toString(),
    [Symbol.asyncDispose]: async () => {
      await holder.stdin.end();
      await holder.exited;
    },
  };
}

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
