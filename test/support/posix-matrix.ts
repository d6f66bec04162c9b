/**
 * Every call on every kind of thing, by every kind of user: what is written down is which errno each gives, and what the directory looks
 * like afterwards. Nothing is expected here; a run on a file system of the kernel says what is right. Where each call takes its time, a
 * part of all cells is enough: the same ones each time, spread over modes, users and things.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import type { PosixChecks } from "./posix-probe.ts";
import { attempt, sys } from "./syscalls.ts";

/** Makes the thing at a path; what it stands for is in the name. */
const things: Readonly<Record<string, (path: string) => void>> = {
  missing: () => undefined,
  file: (path) => fs.writeFileSync(path, "content"),
  "empty directory": (path) => fs.mkdirSync(path),
  "full directory": (path) => {
    fs.mkdirSync(path);
    fs.writeFileSync(join(path, "inside"), "");
  },
  "link to a file": (path) => {
    fs.writeFileSync(`${path}.target`, "content");
    fs.symlinkSync(`${path}.target`.split("/").pop() ?? "", path);
  },
  "link to nothing": (path) => fs.symlinkSync("nowhere", path),
  "link to itself": (path) => fs.symlinkSync(path.split("/").pop() ?? "", path),
  fifo: (path) => sys.mknod(path, 0o010644),
  socket: (path) => sys.mknod(path, 0o140644),
  device: (path) => sys.mknod(path, 0o020644, 0x0103),
  "second name of a file": (path) => {
    fs.writeFileSync(`${path}.first`, "content");
    fs.linkSync(`${path}.first`, path);
  },
  "below a file": (path) => fs.writeFileSync(path, ""),
};

const pathOf = (thing: string, path: string): string => (thing === "below a file" ? join(path, "below") : path);

const openWith = (flags: number) => (path: string) => fs.closeSync(fs.openSync(path, flags | fs.constants.O_NONBLOCK, 0o640));
const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_APPEND } = fs.constants;

const oneOperations: Readonly<Record<string, (path: string) => unknown>> = {
  "open to read": openWith(O_RDONLY),
  "open as a directory": openWith(O_RDONLY | O_DIRECTORY),
  "open without following": openWith(O_RDONLY | O_NOFOLLOW),
  "open or make": openWith(O_RDWR | O_CREAT),
  "open, make and append": openWith(O_WRONLY | O_CREAT | O_APPEND),
  "make only": openWith(O_WRONLY | O_CREAT | O_EXCL),
  "open as empty": openWith(O_RDWR | O_TRUNC),
  "open with truncation to read": openWith(O_RDONLY | O_TRUNC),
  mkdir: (path) => fs.mkdirSync(path, 0o751),
  "mkdir with a slash": (path) => fs.mkdirSync(`${path}/`, 0o751),
  rmdir: (path) => fs.rmdirSync(path),
  unlink: (path) => fs.unlinkSync(path),
  "unlink with a slash": (path) => fs.unlinkSync(`${path}/`),
  symlink: (path) => fs.symlinkSync("to/somewhere", path),
  mkfifo: (path) => sys.mknod(path, 0o010600),
  "mknod of a file": (path) => sys.mknod(path, 0o100600),
  "mknod of a device": (path) => sys.mknod(path, 0o060600, 0x0801),
  readlink: (path) => fs.readlinkSync(path),
  "truncate to nothing": (path) => fs.truncateSync(path, 0),
  "truncate to more": (path) => fs.truncateSync(path, 100_000),
  "truncate below nothing": (path) => fs.truncateSync(path, -1),
  "chmod 0": (path) => fs.chmodSync(path, 0),
  "chmod set-ids": (path) => fs.chmodSync(path, 0o6755),
  "chmod sticky": (path) => fs.chmodSync(path, 0o1777),
  "chown to another": (path) => fs.chownSync(path, 1234, 2345),
  "chown to oneself": (path) => fs.chownSync(path, 1001, 1001),
  "lchown the group": (path) => fs.lchownSync(path, 4294967295, 1001),
  readdir: (path) => fs.readdirSync(path).sort(),
  stat: (path) => kindOf(fs.statSync(path)),
  lstat: (path) => kindOf(fs.lstatSync(path)),
  "access to write": (path) => fs.accessSync(path, fs.constants.W_OK),
  utimens: (path) => sys.utimens(path, 1_000_000_007n, 2_000_000_009n),
  "utimens now": (path) => sys.utimens(path, "now", "now"),
  "utimens of one": (path) => sys.utimens(path, undefined, 3_000_000_011n),
  setxattr: (path) => sys.setxattr(path, "user.colour", Buffer.from("blue")),
  getxattr: (path) => sys.getxattr(path, "user.colour").toString(),
  removexattr: (path) => sys.removexattr(path, "user.colour"),
  append: (path) => (fs.statSync(path).isFile() ? fs.appendFileSync(path, "more") : "no file"),
};

const twoOperations: Readonly<Record<string, (from: string, to: string) => unknown>> = {
  rename: (from, to) => fs.renameSync(from, to),
  "rename and keep": (from, to) => sys.rename(from, to, 1),
  "rename to exchange": (from, to) => sys.rename(from, to, 2),
  "rename unknown": (from, to) => sys.rename(from, to, 3),
  link: (from, to) => fs.linkSync(from, to),
};

interface User {
  readonly name: string;
  readonly uid: number;
}

/** The directory belongs to the second; the third is a stranger. */
const users: readonly User[] = [
  { name: "root", uid: 0 },
  { name: "owner", uid: 1001 },
  { name: "stranger", uid: 1002 },
];

const kindOf = (stat: fs.Stats): string => `${(stat.mode & 0o170000).toString(8)} ${(stat.mode & 0o7777).toString(8)}`;

/** Names with kind, mode, owner, links, size and target: all of what POSIX fixes. */
export function snapshot(directory: string): string[] {
  const one = (path: string, name: string): string[] => {
    const stat = fs.lstatSync(path);
    const size = stat.isDirectory() ? "-" : `${stat.size}`;
    const target = stat.isSymbolicLink() ? ` -> ${fs.readlinkSync(path)}` : "";
    const line = `${name} ${kindOf(stat)} ${stat.uid}:${stat.gid} links ${stat.nlink} size ${size} device ${stat.rdev}${target}`;
    if (!stat.isDirectory()) return [line];
    return [
      line,
      ...fs
        .readdirSync(path)
        .sort()
        .flatMap((child) => one(join(path, child), join(name, child))),
    ];
  };
  return one(directory, ".");
}

/** As root makes a directory and what is in it; everything belongs to the owner. */
function prepare(directory: string, mode: number, make: () => void): void {
  fs.mkdirSync(directory);
  make();
  for (const name of fs.readdirSync(directory)) fs.lchownSync(join(directory, name), 1001, 1001);
  fs.chownSync(directory, 1001, 1001);
  fs.chmodSync(directory, mode);
}

const directoryModes = [0o755, 0o555, 0o1777, 0o2775];

interface Cell {
  readonly user: User;
  readonly mode: number;
  readonly first: string;
  readonly second: string;
}

const oneCells: readonly Cell[] = directoryModes.flatMap((mode) =>
  users.flatMap((user) => Object.keys(things).map((first) => ({ user, mode, first, second: "missing" }))),
);
const twoCells: readonly Cell[] = users.flatMap((user) =>
  Object.keys(things).flatMap((first) => Object.keys(things).map((second) => ({ user, mode: 0o755, first, second }))),
);

/** One of each `nth` cells; no number of users, modes or things should be a multiple of it. */
export function matrixChecks(nth: number): PosixChecks {
  const check =
    (cells: readonly Cell[], start: number, run: (first: string, second: string) => unknown) =>
    (base: string): unknown[] =>
      cells.flatMap(({ user, mode, first, second }, index) => {
        if ((index + start) % nth !== 0) return [];
        const directory = join(base, `${index}`);
        const [one, two] = [join(directory, "it"), join(directory, "to")];
        prepare(directory, mode, () => {
          things[first]?.(one);
          things[second]?.(two);
        });
        const result = sys.as(user.uid, user.uid, () => attempt(() => run(pathOf(first, one), pathOf(second, two))));
        return [[mode.toString(8), user.name, first, second, result ?? "ok", snapshot(directory)]];
      });
  return Object.fromEntries([
    ...Object.entries(oneOperations).map(([name, run], index) => [`${name}, on everything by everybody`, check(oneCells, index, run)]),
    ...Object.entries(twoOperations).map(([name, run], index) => [`${name}, of everything over everything`, check(twoCells, index, run)]),
  ]);
}
