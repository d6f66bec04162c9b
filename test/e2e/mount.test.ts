/** A mount comes and goes without leaving anything behind, and nothing that waits on it waits for ever. */
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { build } from "../../scripts/build.ts";
import { readMounts } from "../../src/fuse/linux.ts";
import { isMounted as isOurMount } from "../../src/fuse/mount.ts";
import { becomeNobody, helperImpossible, mountingImpossible, mountMemory, program } from "../support/e2e-mount.ts";
import { sys } from "../support/syscalls.ts";

const reason = mountingImpossible();
const root = join(import.meta.dir, "../..");
const errorOf = (run: () => unknown): string | undefined => {
  try {
    run();
    return undefined;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code;
  }
};
const isMounted = (path: string): boolean => readFileSync("/proc/self/mountinfo", "utf8").includes(` ${path} `);
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await Bun.sleep(5);
};
/** In the kernel, for an answer of a mount. */
const isWaiting = (pid: number): boolean => /fuse|request_wait/.test(readFileSync(`/proc/${pid}/wchan`, "utf8"));
/** A program that waits, and the errno that it ends with. */
const statByProgram = (path: string) => Bun.spawn(["stat", path], { env: { LC_ALL: "C" }, stdio: ["ignore", "ignore", "pipe"] });

describe.skipIf(reason !== undefined)(`a mount${reason ? ` (${reason})` : ""}`, () => {
  test("ends at SIGTERM and leaves an empty directory", async () => {
    await using mounted = await mountMemory();
    writeFileSync(join(mounted.path, "file"), "content");
    expect(JSON.parse(await mounted.stop())).toMatchObject({ open: 0 });
    expect(mounted.process.exitCode).toBe(0);
    expect([isMounted(mounted.path), existsSync(join(mounted.path, "file"))]).toEqual([false, false]);
  });

  test("is found by its name, whatever is in it, and reads ahead as far as root wants", async () => {
    const path = mkdtempSync(join(tmpdir(), "mount with spaces, \\ and ümlauts-"));
    await using mounted = await mountMemory(["--read-ahead-kib", "1024"], { path });
    expect(await isOurMount(path)).toBe(true);
    const { device } = (await readMounts()).findLast((one) => one.mountPoint === path) ?? {};
    expect(readFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, "utf8")).toBe("1024\n");
    await mounted.stop();
    expect(await isOurMount(path)).toBe(false);
  });

  test("ends at SIGTERM while a file is open: the place is free, and the file is cut off after its grace", async () => {
    await using mounted = await mountMemory(["--grace-ms", "300"]);
    const fd = openSync(join(mounted.path, "file"), "w+");
    writeSync(fd, "content");
    await mounted.stop();
    expect(isMounted(mounted.path)).toBe(false);
    expect(errorOf(() => fsyncSync(fd))).toBe("ENOTCONN");
    closeSync(fd);
  });

  test("ends by itself when somebody else unmounts it, and not while it is busy", async () => {
    await using mounted = await mountMemory();
    const fd = openSync(join(mounted.path, "file"), "w");
    expect(Bun.spawnSync(["umount", mounted.path], { stderr: "ignore" }).exitCode).not.toBe(0);
    expect(isMounted(mounted.path)).toBe(true);
    closeSync(fd);
    expect(Bun.spawnSync(["umount", mounted.path]).exitCode).toBe(0);
    expect(await mounted.process.exited).toBe(0);
  });

  test("takes the place of one whose process was killed", async () => {
    await using dead = await mountMemory();
    dead.process.kill("SIGKILL");
    await dead.process.exited;
    expect(errorOf(() => statSync(dead.path))).toBe("ENOTCONN");
    await using mounted = await mountMemory([], { path: dead.path });
    writeFileSync(join(mounted.path, "file"), "content");
    expect(readFileSync(join(mounted.path, "file"), "utf8")).toBe("content");
  });

  test("answers what never ends with ETIMEDOUT, and everything else meanwhile", async () => {
    await using mounted = await mountMemory(["--time-limit-ms", "700"]);
    const waiting = statByProgram(join(mounted.path, "stall"));
    writeFileSync(join(mounted.path, "file"), "content");
    expect(readFileSync(join(mounted.path, "file"), "utf8")).toBe("content");
    expect(waiting.exitCode).toBeNull();
    expect(await new Response(waiting.stderr).text()).toContain("Connection timed out");
  });

  test("lets a program be killed that waits for what never ends", async () => {
    await using mounted = await mountMemory(["--time-limit-ms", "60000"]);
    const waiting = statByProgram(join(mounted.path, "stall"));
    await until(() => isWaiting(waiting.pid));
    waiting.kill("SIGKILL");
    await waiting.exited;
    expect(waiting.signalCode).toBe("SIGKILL");
  });

  test("gives a lock to whoever waits for it, and lets the wait be interrupted", async () => {
    await using mounted = await mountMemory(["--time-limit-ms", "200"]);
    const path = join(mounted.path, "file");
    const fd = openSync(path, "w");
    const [LOCK_EX, LOCK_UN] = [2, 8];
    sys.flock(fd, LOCK_EX);
    const waiting = Bun.spawn(["flock", path, "echo", "mine"], { stdio: ["ignore", "pipe", "inherit"] });
    const impatient = Bun.spawn(["flock", path, "echo", "never"], { stdio: ["ignore", "pipe", "inherit"] });
    for (const { pid } of [waiting, impatient]) await until(() => isWaiting(pid));
    impatient.kill("SIGTERM");
    await impatient.exited;
    expect(await new Response(impatient.stdout).text()).toBe("");
    // Longer than anything else may take.
    await Bun.sleep(400);
    expect(waiting.exitCode).toBeNull();
    sys.flock(fd, LOCK_UN);
    expect(await new Response(waiting.stdout).text()).toBe("mine\n");
    closeSync(fd);
  });

  test("tells the kernel what has changed behind its back", async () => {
    await using mounted = await mountMemory(["--valid-ms", "3600000"]);
    const [watched, seen] = [join(mounted.path, "watched"), join(mounted.path, "seen")];
    writeFileSync(watched, "as it was");
    expect([readFileSync(watched, "utf8"), existsSync(seen)]).toEqual(["as it was", false]);
    const fd = openSync(watched, "r");
    mounted.process.kill("SIGUSR1");
    await mounted.hear("told\n");
    expect([existsSync(watched), readFileSync(seen, "utf8"), readFileSync(fd, "utf8")]).toEqual([
      false,
      "changed behind its back",
      "changed behind its back",
    ]);
    closeSync(fd);
  });

  test.each([["write-through", [] as string[]] as const, ["write-back", ["--write-back"]] as const])(
    "in %s mode shows the size, the time and the bytes of another's change, also of an open file",
    async (_, flags) => {
      await using mounted = await mountMemory(["--valid-ms", "3600000", ...flags]);
      const watched = join(mounted.path, "watched");
      writeFileSync(watched, "as it was");
      const shown = (file: string | number) => {
        const { size, mtimeMs } = typeof file === "number" ? fstatSync(file) : statSync(file);
        const into = Buffer.alloc(20_000);
        const fd = typeof file === "number" ? file : openSync(file, "r");
        const text = into.toString("utf8", 0, readSync(fd, into, 0, into.length, 0));
        if (fd !== file) closeSync(fd);
        return { size, mtimeMs, text };
      };
      const after = (count: number) => {
        const size = count % 2 === 1 ? 10_000 : 10;
        return { size, mtimeMs: count * 1_000, text: "replaced ".repeat(1_200).slice(0, size) };
      };
      const replace = async (count: number): Promise<void> => {
        mounted.process.kill("SIGUSR2");
        await mounted.hear(`replaced ${count}\n`);
      };
      expect(shown(watched).text).toBe("as it was");
      await replace(1);
      expect(shown(watched)).toEqual(after(1));
      await replace(2);
      expect(shown(watched)).toEqual(after(2));
      const fd = openSync(watched, "r+");
      expect(shown(fd)).toEqual(after(2));
      for (const count of [3, 4]) {
        await replace(count);
        expect(shown(fd)).toEqual(after(count));
        expect(shown(watched)).toEqual(after(count));
      }
      writeSync(fd, "changed here", 0);
      closeSync(fd);
      expect(shown(watched).text).toBe("changed here");
    },
  );

  test("in write-back mode writes what is dirty before it ends", async () => {
    await using mounted = await mountMemory(["--write-back"]);
    const fd = openSync(join(mounted.path, "file"), "w+");
    for (let index = 0; index < 2_000; index++) writeSync(fd, Buffer.alloc(4096, index));
    closeSync(fd);
    const bytes = readFileSync(join(mounted.path, "file"));
    expect([bytes.length, bytes[4096 * 1_999]]).toEqual([4096 * 2_000, 1_999 % 256]);
    unlinkSync(join(mounted.path, "file"));
    writeFileSync(join(mounted.path, "dirty"), bytes);
    expect(JSON.parse(await mounted.stop())).toMatchObject({ open: 0 });
  });

  test("costs next to nothing while nobody asks", async () => {
    await using mounted = await mountMemory();
    const cpuTicks = (): number => {
      const fields = readFileSync(`/proc/${mounted.process.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      return Number(fields[11]) + Number(fields[12]);
    };
    writeFileSync(join(mounted.path, "file"), "content");
    // What is measured is time in which nothing happens.
    await Bun.sleep(300);
    const before = cpuTicks();
    await Bun.sleep(1_000);
    expect(cpuTicks() - before).toBeLessThan(10);
  });

  test("works in an executable as from source", async () => {
    const folder = mkdtempSync(join(tmpdir(), "mount-executable-"));
    try {
      const outputPath = join(folder, "mount-memory");
      await build({ entryPoint: join(root, "test/support/mount-memory.ts"), outputPath, commit: "" });
      await using mounted = await mountMemory([], { command: [outputPath] });
      writeFileSync(join(mounted.path, "file"), Buffer.alloc(3_000_000, 7));
      expect(readFileSync(join(mounted.path, "file")).every((byte) => byte === 7)).toBe(true);
      expect(JSON.parse(await mounted.stop())).toMatchObject({ open: 0 });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

const helperReason = helperImpossible();

describe.skipIf(helperReason !== undefined)(`an ordinary user${helperReason ? ` (${helperReason})` : ""}`, () => {
  test("mounts with fusermount3, uses it, and clears what a crash has left", async () => {
    // The folder of a test run is closed to everybody else.
    const path = mkdtempSync("/tmp/mount-");
    chmodSync(path, 0o777);
    await using nobody = await becomeNobody();
    const command = [...nobody.under, process.execPath, program];
    {
      await using dead = await mountMemory([], { path, command });
      expect(nobody.run(`echo content > ${path}/file; cat ${path}/file; stat -c %U ${path}/file`)).toBe("content\nnobody\n");
      dead.process.kill("SIGKILL");
      await dead.process.exited;
      await using mounted = await mountMemory([], { path, command });
      expect(nobody.run(`echo again > ${path}/file; cat ${path}/file`)).toBe("again\n");
      expect(JSON.parse(await mounted.stop())).toMatchObject({ open: 0 });
      expect(nobody.run("cat /proc/self/mountinfo")).not.toContain(` ${path} `);
    }
  });
});

test("the program is its own helper thread", async () => {
  const thread = new Worker(join(root, "src/main.ts"), { workerData: { task: "calls" } });
  const said: unknown[] = [];
  const answer = new Promise((resolve) => thread.on("message", (message: unknown) => void (said.push(message) === 2 && resolve(message))));
  const ended = new Promise((resolve) => thread.on("exit", resolve));
  thread.postMessage({ call: "unmount", mountPoint: "/nowhere/at/all", lazy: false });
  expect(await answer).toBeGreaterThan(0);
  // By which the kernel names it: another one than this one's.
  expect(said[0]).toEqual({ id: expect.any(Number) });
  thread.postMessage(undefined);
  await ended;
});
