/** Owners, permissions and times. */
import * as fs from "node:fs";
import { join } from "node:path";
import { mode, moved, owner, type PosixChecks, text } from "./posix-probe.ts";
import { attempt, sys } from "./syscalls.ts";

export const ownersChecks: PosixChecks = {
  "the umask takes bits from what is made": (d) => {
    const before = sys.umask(0o027);
    try {
      fs.writeFileSync(join(d, "file"), "", { mode: 0o666 });
      fs.mkdirSync(join(d, "directory"), 0o777);
      sys.mknod(join(d, "fifo"), 0o010666);
      return ["file", "directory", "fifo"].map((name) => mode(join(d, name)));
    } finally {
      sys.umask(before);
    }
  },
  "what is made belongs to its maker, in a set-group-id directory to its group": (d) => {
    fs.chmodSync(d, 0o2777);
    fs.chownSync(d, 0, 4321);
    fs.chmodSync(d, 0o2777);
    sys.as(1001, 1002, () => {
      fs.writeFileSync(join(d, "file"), "");
      fs.mkdirSync(join(d, "directory"), 0o755);
    });
    return ["file", "directory"].map((name) => [owner(join(d, name)), mode(join(d, name))]);
  },
  "in a sticky directory each removes only what is his own": (d) => {
    fs.chmodSync(d, 0o1777);
    for (const name of ["a", "b", "c"]) fs.writeFileSync(join(d, name), "");
    fs.chownSync(join(d, "a"), 1001, 1001);
    return sys.as(1001, 1001, () => [
      attempt(() => fs.unlinkSync(join(d, "b"))),
      attempt(() => fs.renameSync(join(d, "b"), join(d, "x"))),
      attempt(() => fs.renameSync(join(d, "a"), join(d, "c"))),
      attempt(() => fs.renameSync(join(d, "a"), join(d, "mine"))),
      attempt(() => fs.unlinkSync(join(d, "mine"))),
      fs.readdirSync(d).sort(),
    ]);
  },
  "set-id bits go when somebody else writes, truncates or owns": (d) => {
    const each = (change: (path: string) => unknown): string[] =>
      [0o6777, 0o6767].map((bits, index) => {
        const path = join(d, `${index}`);
        fs.writeFileSync(path, "content");
        fs.chmodSync(path, bits);
        const result = attempt(() => change(path)) ?? "ok";
        const seen = `${result} ${mode(path)}`;
        fs.unlinkSync(path);
        return seen;
      });
    const stranger = <T>(run: () => T): T => sys.as(1001, 1001, run);
    return [
      each((path) => fs.appendFileSync(path, "more")),
      each((path) => stranger(() => fs.appendFileSync(path, "more"))),
      each((path) => stranger(() => fs.truncateSync(path, 1))),
      each((path) => stranger(() => fs.writeFileSync(path, ""))),
      each((path) => fs.chownSync(path, 1001, 1001)),
      each((path) => fs.chownSync(path, 4294967295, 1001)),
      each((path) => fs.truncateSync(path, 1)),
    ];
  },
  "only the owner changes modes and times, and gives to his own groups": (d) => {
    const path = join(d, "file");
    fs.chmodSync(d, 0o755);
    fs.writeFileSync(path, "x", { mode: 0o666 });
    fs.chmodSync(path, 0o666);
    fs.chownSync(path, 1001, 1001);
    const tries = () => [
      attempt(() => fs.chmodSync(path, 0o600)),
      attempt(() => fs.chmodSync(path, 0o666)),
      attempt(() => fs.chownSync(path, 1002, 1001)),
      attempt(() => fs.chownSync(path, 1001, 1001)),
      attempt(() => fs.chownSync(path, 1001, 1003)),
      attempt(() => sys.utimens(path, 1n, 1n)),
      attempt(() => sys.utimens(path, "now", "now")),
      attempt(() => sys.setxattr(path, "user.a", Buffer.from("b"))),
      attempt(() => sys.setxattr(path, "trusted.a", Buffer.from("b"))),
    ];
    return [sys.as(1001, 1001, tries), sys.as(1002, 1002, tries)];
  },
  "without search permission nothing below is reached": (d) => {
    fs.mkdirSync(join(d, "closed"));
    fs.writeFileSync(join(d, "closed", "file"), "x");
    fs.chmodSync(d, 0o755);
    const seen = [0o755, 0o711, 0o744, 0o700].map((bits) => {
      fs.chmodSync(join(d, "closed"), bits);
      return sys.as(1001, 1001, () => [
        attempt(() => fs.readdirSync(join(d, "closed"))),
        attempt(() => fs.statSync(join(d, "closed", "file")).size),
        attempt(() => text(join(d, "closed", "file"))),
        attempt(() => fs.statSync(join(d, "closed", "none"))),
      ]);
    });
    return seen;
  },
};

export const timesChecks: PosixChecks = {
  "each change moves the times it should": (d) => {
    const [file, directory] = [join(d, "file"), join(d, "directory")];
    fs.writeFileSync(file, "x");
    fs.mkdirSync(directory);
    return [
      moved(file, () => fs.appendFileSync(file, "y")),
      moved(file, () => fs.truncateSync(file, 0)),
      moved(file, () => fs.chmodSync(file, 0o600)),
      moved(file, () => fs.chownSync(file, 1, 1)),
      moved(file, () => fs.linkSync(file, join(d, "second"))),
      moved(file, () => fs.unlinkSync(join(d, "second"))),
      moved(file, () => {
        fs.renameSync(file, join(d, "third"));
        fs.renameSync(join(d, "third"), file);
      }),
      moved(file, () => sys.setxattr(file, "user.a", Buffer.from("b"))),
      moved(directory, () => fs.writeFileSync(join(directory, "new"), "")),
      moved(directory, () => fs.appendFileSync(join(directory, "new"), "more")),
      moved(directory, () => fs.renameSync(join(directory, "new"), join(directory, "newer"))),
      moved(directory, () => fs.unlinkSync(join(directory, "newer"))),
      moved(directory, () => fs.mkdirSync(join(directory, "sub"))),
      moved(directory, () => fs.rmdirSync(join(directory, "sub"))),
    ];
  },
  "times have nanoseconds, before 1970 and after 2038": (d) => {
    const path = join(d, "file");
    fs.writeFileSync(path, "");
    return [1n, 1_234_567_890_123_456_789n, -1n, -5_000_000_001n, 4_102_444_800_000_000_001n].map((ns) => {
      sys.utimens(path, ns, undefined);
      sys.utimens(path, undefined, ns);
      const { atimeNs, mtimeNs } = fs.statSync(path, { bigint: true });
      return [`${atimeNs}`, `${mtimeNs}`];
    });
  },
};
