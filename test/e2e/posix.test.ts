/** Every POSIX check sees on a mount what it sees on a file system of the kernel. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type MountedMemory, mountingImpossible, mountMemory } from "../support/e2e-mount.ts";
import { posixChecks } from "../support/posix-checks.ts";

const reason = mountingImpossible();
const checks = Object.entries(posixChecks(1));

describe.skipIf(reason !== undefined)(`POSIX on a mount${reason ? ` (${reason})` : ""}`, () => {
  let mounted: MountedMemory;
  let control: string;
  beforeAll(async () => {
    control = mkdtempSync(join(tmpdir(), "control-"));
    // As a mount is: without set-id bits that work, and without devices that open.
    const mounting = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "nosuid,nodev,mode=755", "control", control]);
    expect(mounting.stderr.toString()).toBe("");
    mounted = await mountMemory();
  });
  afterAll(async () => {
    await mounted[Symbol.asyncDispose]();
    Bun.spawnSync(["umount", control]);
    rmdirSync(control);
  });

  for (const [index, [name, check]] of checks.entries()) {
    test(name, () => {
      const [onControl, onMount] = [control, mounted.path].map((base) => {
        const directory = join(base, `${index}`);
        mkdirSync(directory);
        return check(directory);
      });
      expect(onMount).toEqual(onControl);
    });
  }
});
