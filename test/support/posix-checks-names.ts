/** Names, directories, links, and files that have lost their names. */
import * as fs from "node:fs";
import { join } from "node:path";
import { long, mode, opened, type PosixChecks, text } from "./posix-probe.ts";
import { attempt, sys } from "./syscalls.ts";

export const namesChecks: PosixChecks = {
  "names of 255 bytes exist and longer ones cannot": (d) => [
    attempt(() => fs.writeFileSync(join(d, long(255)), "x")),
    attempt(() => fs.writeFileSync(join(d, long(256)), "x")),
    attempt(() => fs.mkdirSync(join(d, long(256)))),
    attempt(() => fs.lstatSync(join(d, long(256)))),
    attempt(() => fs.renameSync(join(d, long(255)), join(d, long(256)))),
    attempt(() => fs.symlinkSync("x", join(d, long(256)))),
    fs.readdirSync(d),
  ],
  "names are bytes: case, spaces, accents and control characters differ": (d) => {
    const all = ["a", "A", " ", "a ", "\n", "\x7f", "e\u0301", "é", "名前", "💾", "...", "-rf", "a:b", "a\\b", "*", "con"];
    for (const name of all) fs.writeFileSync(join(d, name), name);
    return [fs.readdirSync(d).sort(), all.every((name) => text(join(d, name)) === name)];
  },
  "paths of more than 4,096 bytes cannot be": (d) => attempt(() => fs.statSync(`${d}/${`${long(200)}/`.repeat(25)}`)),
  "a directory of many entries is listed whole, once each": (d) => {
    const all = Array.from({ length: 1_200 }, (_, index) => `entry ${index} ${long(index % 90)}`);
    for (const name of all) fs.writeFileSync(join(d, name), "");
    return [new Set(fs.readdirSync(d)).size, fs.readdirSync(d).length, fs.readdirSync(d).sort().join() === all.sort().join()];
  },
  "a directory may lose entries while it is listed": (d) => {
    for (let index = 0; index < 300; index++) fs.writeFileSync(join(d, `${index}`), "");
    const seen = new Set<string>();
    const listing = fs.opendirSync(d);
    for (let one = listing.readSync(); one; one = listing.readSync()) {
      seen.add(one.name);
      fs.unlinkSync(join(d, one.name));
    }
    listing.closeSync();
    return [seen.size, fs.readdirSync(d)];
  },
  "kinds in a listing are what they are": (d) => {
    fs.writeFileSync(join(d, "file"), "");
    fs.mkdirSync(join(d, "directory"));
    fs.symlinkSync("file", join(d, "link"));
    sys.mknod(join(d, "fifo"), 0o010600);
    return fs
      .readdirSync(d, { withFileTypes: true })
      .map((one) => [one.name, one.isFile(), one.isDirectory(), one.isSymbolicLink(), one.isFIFO()])
      .sort();
  },
  "directories count their directories": (d) => {
    const links = (): number => fs.statSync(d).nlink;
    const seen = [links()];
    fs.mkdirSync(join(d, "a"));
    fs.mkdirSync(join(d, "b"));
    seen.push(links());
    fs.renameSync(join(d, "a"), join(d, "b", "a"));
    seen.push(links(), fs.statSync(join(d, "b")).nlink);
    sys.rename(join(d, "b", "a"), join(d, "b", "a"), 0);
    fs.writeFileSync(join(d, "f"), "");
    sys.rename(join(d, "f"), join(d, "b", "a"), 2);
    seen.push(links(), fs.statSync(join(d, "b")).nlink);
    return seen;
  },
  "a directory cannot be moved into itself, nor removed as . or ..": (d) => {
    fs.mkdirSync(join(d, "a", "b"), { recursive: true });
    return [
      attempt(() => fs.renameSync(join(d, "a"), join(d, "a", "b", "c"))),
      attempt(() => sys.rename(join(d, "a"), join(d, "a", "b"), 2)),
      attempt(() => fs.rmdirSync(`${d}/a/b/.`)),
      attempt(() => fs.rmdirSync(`${d}/a/b/..`)),
      attempt(() => fs.renameSync(`${d}/a/.`, join(d, "x"))),
      attempt(() => fs.mkdirSync(`${d}/.`)),
    ];
  },
  "a removed directory takes nothing any more": (d) => {
    fs.mkdirSync(join(d, "gone"));
    return opened(join(d, "gone"), fs.constants.O_RDONLY, (fd) => {
      fs.rmdirSync(join(d, "gone"));
      const self = `/proc/self/fd/${fd}`;
      return [fs.fstatSync(fd).nlink, attempt(() => fs.writeFileSync(`${self}/x`, "")), attempt(() => fs.mkdirSync(`${self}/x`))];
    });
  },
  "a rename keeps the file and what is open of it": (d) => {
    fs.writeFileSync(join(d, "a"), "first");
    fs.writeFileSync(join(d, "b"), "second");
    return opened(join(d, "b"), "r", (fd) => {
      const inode = fs.statSync(join(d, "a")).ino;
      fs.renameSync(join(d, "a"), join(d, "b"));
      return [text(join(d, "b")), fs.statSync(join(d, "b")).ino === inode, fs.readFileSync(fd, "utf8"), fs.fstatSync(fd).nlink];
    });
  },
  "a rename between two names of one file does nothing": (d) => {
    fs.writeFileSync(join(d, "a"), "x");
    fs.linkSync(join(d, "a"), join(d, "b"));
    fs.renameSync(join(d, "a"), join(d, "b"));
    return [fs.readdirSync(d).sort(), fs.statSync(join(d, "a")).nlink];
  },
  "an exchange swaps, also a directory and a file": (d) => {
    fs.mkdirSync(join(d, "directory", "deep"), { recursive: true });
    fs.writeFileSync(join(d, "directory", "deep", "file"), "x");
    fs.writeFileSync(join(d, "other"), "y");
    sys.rename(join(d, "directory", "deep"), join(d, "other"), 2);
    return [
      fs.readdirSync(join(d, "other")),
      text(join(d, "directory", "deep")),
      fs.statSync(join(d, "other", "..")).ino === fs.statSync(d).ino,
    ];
  },
  "hard links are one file until the last is gone": (d) => {
    fs.writeFileSync(join(d, "a"), "one");
    fs.linkSync(join(d, "a"), join(d, "b"));
    fs.appendFileSync(join(d, "b"), " two");
    fs.chmodSync(join(d, "b"), 0o600);
    const seen = [text(join(d, "a")), mode(join(d, "a")), fs.statSync(join(d, "a")).nlink];
    fs.unlinkSync(join(d, "a"));
    return [...seen, fs.statSync(join(d, "b")).nlink, text(join(d, "b")), attempt(() => fs.linkSync(d, join(d, "c")))];
  },
  "symbolic links hold any text and are followed": (d) => {
    fs.mkdirSync(join(d, "directory"));
    fs.writeFileSync(join(d, "directory", "file"), "x");
    fs.symlinkSync("directory", join(d, "link"));
    fs.symlinkSync(long(4095), join(d, "long"));
    return [
      text(join(d, "link", "file")),
      fs.readlinkSync(join(d, "long")).length,
      fs.lstatSync(join(d, "long")).size,
      attempt(() => fs.symlinkSync(long(4096), join(d, "longer"))),
      attempt(() => fs.symlinkSync("", join(d, "empty"))),
      attempt(() => fs.readFileSync(join(d, "long"))),
      fs.realpathSync(join(d, "link", "file")).endsWith("directory/file"),
    ];
  },
  "a file without a name lives while it is open": (d) => {
    const path = join(d, "file");
    return opened(path, "w+", (fd) => {
      fs.writeSync(fd, "before");
      fs.unlinkSync(path);
      fs.writeSync(fd, " and after");
      fs.fchmodSync(fd, 0o640);
      fs.ftruncateSync(fd, 12);
      const stat = fs.fstatSync(fd);
      const content = Buffer.alloc(20);
      return [stat.nlink, stat.size, stat.mode & 0o777, content.toString("utf8", 0, fs.readSync(fd, content, 0, 20, 0)), fs.readdirSync(d)];
    });
  },
  "a new file under the old name is another": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "old");
    return opened(path, "r", (fd) => {
      fs.unlinkSync(path);
      fs.writeFileSync(path, "new");
      return [fs.readFileSync(fd, "utf8"), text(path), fs.fstatSync(fd).ino === fs.statSync(path).ino];
    });
  },
};
