/** Several mounts of one collective see what each other does: at once when they open, within a second when they only look. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { succeed, until } from "../support/e2e-commands.ts";
import { bytesOf } from "../support/e2e-files.ts";
import { mountingImpossible } from "../support/e2e-mount.ts";
import { type MountedCollective, mountCollective } from "../support/mounted-collective.ts";
import { type Collective, startCollective } from "../support/process.ts";

const impossible = mountingImpossible();
if (impossible !== undefined) console.log(`mount: skipped, ${impossible}`);

describe.skipIf(impossible !== undefined)("two mounts of one collective", () => {
  let collective: Collective;
  let mounts: [MountedCollective, MountedCollective];
  let here: string;
  let there: string;
  beforeAll(async () => {
    collective = await startCollective({ nodes: 2 });
    await succeed(collective, ["mkdir", "/shared"]);
    mounts = [await mountCollective(collective, "mnt-one"), await mountCollective(collective, "mnt-two")];
    [here, there] = [join(mounts[0].path, "shared"), join(mounts[1].path, "shared")];
  }, 60_000);
  afterAll(async () => {
    for (const mounted of mounts) await mounted[Symbol.asyncDispose]();
    await collective[Symbol.asyncDispose]();
  });

  /** Believed for long by the one that looks, then changed by the other. */
  async function seenWithinASecond<T>(look: () => T, change: () => void, expected: T): Promise<void> {
    for (let times = 0; times < 3; times++) expect(look()).not.toEqual(expected);
    change();
    const changedMs = performance.now();
    await until(look, (seen) => Bun.deepEquals(seen, expected));
    expect(performance.now() - changedMs).toBeLessThan(1_000);
  }

  test("see changes of names and attributes within a second, without opening anything", async () => {
    await seenWithinASecond(
      () => existsSync(join(there, "made")),
      () => writeFileSync(join(here, "made"), "1"),
      true,
    );
    await seenWithinASecond(
      () => statSync(join(there, "made")).size,
      () => appendFileSync(join(here, "made"), "234"),
      4,
    );
    await seenWithinASecond(
      () => statSync(join(there, "made")).mode & 0o777,
      () => chmodSync(join(here, "made"), 0o600),
      0o600,
    );
    await seenWithinASecond(
      () => existsSync(join(there, "renamed")),
      () => renameSync(join(here, "made"), join(here, "renamed")),
      true,
    );
    expect(existsSync(join(there, "made"))).toBe(false);
    await seenWithinASecond(
      () => existsSync(join(there, "dir/in")),
      () => mkdirSync(join(here, "dir/in"), { recursive: true }),
      true,
    );
    writeFileSync(join(here, "other"), "other");
    await seenWithinASecond(
      () => statSync(join(there, "renamed")).size,
      () => renameSync(join(here, "other"), join(here, "renamed")),
      5,
    );
    await seenWithinASecond(
      () => existsSync(join(there, "renamed")),
      () => rmSync(join(here, "renamed")),
      false,
    );
    await seenWithinASecond(
      () => readdirSync(there),
      () => rmSync(join(here, "dir"), { recursive: true }),
      [],
    );
  }, 30_000);

  test("see what a command has done, too", async () => {
    expect(existsSync(join(there, "put"))).toBe(false);
    await succeed(collective, ["write", "/shared/put"], { stdin: "from a command" });
    await until(
      () => existsSync(join(there, "put")),
      (isThere) => isThere,
    );
    expect(readFileSync(join(there, "put"), "utf8")).toBe("from a command");
    rmSync(join(here, "put"));
  });

  test("see what was closed as soon as they open", () => {
    for (let round = 0; round < 20; round++) {
      const text = `round ${round} ${"x".repeat(round * 500)}`;
      writeFileSync(join(here, "closed"), text);
      expect(readFileSync(join(there, "closed"), "utf8")).toBe(text);
      appendFileSync(join(there, "closed"), " and back");
      expect(readFileSync(join(here, "closed"), "utf8")).toBe(`${text} and back`);
    }
  }, 30_000);

  test("show an open file as the other has left it", async () => {
    writeFileSync(join(here, "followed"), "one\n");
    const file = openSync(join(there, "followed"), "r");
    try {
      const all = (): string => {
        const into = Buffer.alloc(100);
        return into.toString("utf8", 0, readSync(file, into, 0, into.length, 0));
      };
      await seenWithinASecond(all, () => appendFileSync(join(here, "followed"), "two\n"), "one\ntwo\n");
    } finally {
      closeSync(file);
    }
  });

  test("keep a file that the other has removed for whoever has it open, however large", async () => {
    const bytes = bytesOf("large", 70_000_000);
    writeFileSync(join(here, "large"), bytes);
    const file = openSync(join(there, "large"), "r+");
    try {
      rmSync(join(here, "large"));
      await until(
        () => existsSync(join(there, "large")),
        (isThere) => !isThere,
      );
      const into = Buffer.alloc(bytes.length);
      for (let at = 0; at < into.length; ) at += readSync(file, into, at, into.length - at, at);
      expect(Buffer.compare(into, bytes)).toBe(0);
      writeSync(file, "still written", 5);
      readSync(file, into, 0, 13, 5);
      expect(into.toString("utf8", 0, 13)).toBe("still written");
      ftruncateSync(file, 6);
    } finally {
      closeSync(file);
    }
  }, 60_000);

  test("write one file in turn and neither loses a line of the other's", () => {
    const lines: string[] = [];
    for (let round = 0; round < 40; round++) {
      const line = `line ${round}\n`;
      appendFileSync(join(round % 2 === 0 ? here : there, "log"), line);
      lines.push(line);
    }
    expect(readFileSync(join(here, "log"), "utf8")).toBe(lines.join(""));
    expect(readFileSync(join(there, "log"), "utf8")).toBe(lines.join(""));
  }, 30_000);

  test("see each other again after a restart of the coordinator, with the files that stayed open", async () => {
    writeFileSync(join(here, "open-all-along"), "before");
    const file = openSync(join(there, "open-all-along"), "r+");
    try {
      await collective.restart("coordinator");
      await until(
        () => existsSync(join(here, "open-all-along")),
        (isThere) => isThere,
      );
      rmSync(join(here, "open-all-along"));
      const into = Buffer.alloc(6);
      readSync(file, into, 0, 6, 0);
      expect(into.toString()).toBe("before");
    } finally {
      closeSync(file);
    }
    await seenWithinASecond(
      () => existsSync(join(there, "after")),
      () => writeFileSync(join(here, "after"), "after"),
      true,
    );
  }, 60_000);
});
