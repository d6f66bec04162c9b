/** A mounted collective is to programs what a file system of the kernel is; the lines of `posix-exceptions` say where it is not. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { succeed } from "../support/e2e-commands.ts";
import { becomeNobody, helperImpossible, mountingImpossible } from "../support/e2e-mount.ts";
import { type MountedCollective, mountCollective } from "../support/mounted-collective.ts";
import { posixChecks } from "../support/posix-checks.ts";
import { type Collective, executable, start, startCollective } from "../support/process.ts";

/** Of the matrix a part: each change is durable when it is answered, and takes its time. */
const checks = Object.entries(posixChecks(11));
const exceptions = new Map(
  readFileSync(join(import.meta.dir, "posix-exceptions"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(": ", 2) as [string, string]),
);
const impossible = mountingImpossible();
const helperMissing = helperImpossible();

describe.skipIf(impossible !== undefined)(`a mounted collective${impossible ? ` (${impossible})` : ""}`, () => {
  let collective: Collective;
  let mounted: MountedCollective;
  let control: string;
  beforeAll(async () => {
    control = mkdtempSync(join(tmpdir(), "control-"));
    // As a mount is: without set-id bits that work, and without devices that open.
    const mounting = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "nosuid,nodev,mode=755", "control", control]);
    expect(mounting.stderr.toString()).toBe("");
    collective = await startCollective({ nodes: 1 });
    // Other users come to what is theirs below.
    chmodSync(collective.home.path, 0o711);
    chmodSync(dirname(executable()), 0o711);
    await succeed(collective, ["mkdir", "/documents"]);
    mounted = await mountCollective(collective, "mnt", ["--remote", "/documents"]);
  }, 60_000);
  afterAll(async () => {
    await mounted[Symbol.asyncDispose]();
    await collective[Symbol.asyncDispose]();
    Bun.spawnSync(["umount", control]);
    rmdirSync(control);
  });

  for (const [index, [name, check]] of checks.entries()) {
    const reason = exceptions.get(name);
    test(reason === undefined ? name : `${name} (is an exception: ${reason})`, () => {
      const [onControl, onMount] = [control, mounted.path].map((base) => {
        const directory = join(base, `${index}`);
        mkdirSync(directory);
        return seenBy(() => check(directory));
      });
      if (reason === undefined) expect(onMount).toEqual(onControl);
      else if (Bun.deepEquals(onMount, onControl))
        throw new Error(`"${name}" is no exception any more: take its line from posix-exceptions`);
    }, 60_000);
  }

  test("has no exceptions but of its checks", () => {
    const names = checks.map(([name]) => name);
    expect([...exceptions.keys()].filter((name) => !names.includes(name))).toEqual([]);
  });

  const run = (uid: number, script: string, path: string): string => {
    const user = ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
    const { stdout, stderr } = Bun.spawnSync([...user, "sh", "-c", `cd / && ${script}`, "sh", path], { env: { LC_ALL: "C" } });
    return `${stdout}${stderr}`.replaceAll(path, "MNT").trim();
  };

  test.skipIf(Bun.which("setpriv") === null)(
    "is closed to other users without --allow-other, and then open as modes and owners say",
    async () => {
      expect(run(1001, 'ls "$1"', mounted.path)).toContain("Permission denied");
      await using shared = await mountCollective(collective, "mnt-shared", ["--remote", "/documents", "--allow-other"]);
      mkdirSync(join(shared.path, "shared"));
      chmodSync(join(shared.path, "shared"), 0o1777);
      const path = join(shared.path, "shared");
      expect(run(1001, 'umask 077; echo mine > "$1/one"; mkdir "$1/own"; stat -c "%u:%g %a" "$1/one" "$1/own"', path)).toBe(
        "1001:1001 600\n1001:1001 700",
      );
      expect(run(1002, 'cat "$1/one"', path)).toContain("Permission denied");
      expect(run(1002, 'rm -f "$1/one"', path)).toContain("Operation not permitted");
      expect(run(1002, 'ls "$1/own"', path)).toContain("Permission denied");
      expect(run(1002, 'chmod 644 "$1/one"', path)).toContain("Operation not permitted");
      expect(run(1001, 'chmod 644 "$1/one"', path)).toBe("");
      expect(run(1002, 'cat "$1/one"; echo more >> "$1/one"', path)).toMatch(/^mine\n.*Permission denied/);
      expect(run(1001, 'rm "$1/one"; rmdir "$1/own"; ls "$1"', path)).toBe("");
    },
    60_000,
  );

  test.skipIf(helperMissing !== undefined)(
    `is mounted, used and unmounted by an ordinary user${helperMissing ? ` (${helperMissing})` : ""}`,
    async () => {
      await using nobody = await becomeNobody();
      const home = join(collective.home.path, "of-nobody");
      const path = join(home, "mnt");
      cpSync(collective.env.COLLECTIVE_HOME ?? "", join(home, ".collective"), { recursive: true });
      mkdirSync(path);
      const [uid = 0, gid = 0] = nobody.run("id -u; id -g").split("\n").map(Number);
      for (const name of ["", ...new Bun.Glob("**/*").scanSync({ cwd: home, dot: true, onlyFiles: false })]) {
        chownSync(join(home, name), uid, gid);
      }
      writeFileSync(join(mounted.path, "of-root"), "x");
      const as = { env: { HOME: home, COLLECTIVE_HOME: join(home, ".collective") }, under: nobody.under };
      await using mount = start(["mount", path, "--foreground", "--remote", "/documents"], as);
      await mount.waitForLine(/^ready mount=/);
      const use = "mkdir theirs && cd theirs && echo x > file && ln file second && stat -c '%u %h' file && rm file && cat second";
      expect(nobody.run(`cd ${path} && ${use}`)).toBe(`${uid} 2\nx\n`);
      expect(nobody.run(`echo more >> ${path}/of-root`)).toContain("Permission denied");
      await using unmounting = start(["umount", path], as);
      expect([await unmounting.exited, await mount.exited]).toEqual([0, 0]);
      expect(nobody.run("cat /proc/self/mountinfo")).not.toContain(` ${path} `);
    },
    60_000,
  );
});

/** Also when it fails as a whole. */
function seenBy(check: () => unknown): unknown {
  try {
    return check();
  } catch (thrown) {
    return String(thrown);
  }
}
