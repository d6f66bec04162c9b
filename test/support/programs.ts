/**
 * Programs that people have, each put to work in a directory. Whoever adds one says what it needs; what is not installed is skipped, and says so.
 * `large` is for a run that takes its time.
 */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kibibyte } from "../../protocol/limits.ts";
import { bytesOf } from "./e2e-files.ts";
import { program } from "./mounted-collective.ts";

export interface Workplace {
  /** On the file system that is tested; empty. */
  readonly at: string;
  /** On an ordinary disk; empty. */
  readonly beside: string;
  readonly large: boolean;
}

export interface ProgramCheck {
  readonly name: string;
  readonly needs: readonly string[];
  /** Throws when the program is not content. */
  run(place: Workplace): Promise<void>;
}

const shell = (script: string, cwd: string) => program(["sh", "-euc", script], cwd);

function makeTree(folder: string, files: number): void {
  for (let index = 0; index < files; index++) {
    const directory = join(folder, `d${index % 7}`, `e${index % 3}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `file ${index}`), bytesOf(`tree ${index}`, index % 10 === 0 ? 300 * kibibyte : 17 * index));
  }
}

export const programChecks: readonly ProgramCheck[] = [
  { name: "git clone, fsck and gc", needs: ["git"], run: gitRepository },
  { name: "tar out and in", needs: ["tar"], run: tarBothWays },
  { name: "rsync, the second time nothing", needs: ["rsync"], run: rsyncTwice },
  { name: "find and sha256sum", needs: ["find", "sha256sum"], run: checksums },
  { name: "dd in odd pieces", needs: ["dd"], run: ddPieces },
  { name: "an editor that replaces by rename", needs: ["vim.tiny"], run: editor },
  { name: "sqlite3, write-ahead log, several writers", needs: ["sqlite3"], run: (place) => sqliteWriters(place, "WAL") },
  { name: "sqlite3, rollback journal, several writers", needs: ["sqlite3"], run: (place) => sqliteWriters(place, "DELETE") },
  { name: "ffmpeg, which seeks", needs: ["ffmpeg", "ffprobe"], run: seekingReader },
  { name: "fio, sequential and random, verified", needs: ["fio"], run: fioVerify },
];

async function gitRepository({ at, beside, large }: Workplace): Promise<void> {
  const origin = join(beside, "origin");
  mkdirSync(origin);
  makeTree(origin, large ? 2_000 : 40);
  const git = "git -c user.name=a -c user.email=a@b.c -c safe.directory='*'";
  await shell(`${git} init -q . && ${git} add . && ${git} commit -qm one`, origin);
  await shell(`${git} clone -q "file://${origin}" clone && cd clone && ${git} fsck --strict`, at);
  await shell(`echo changed > new && ${git} add . && ${git} commit -qm two && ${git} gc -q && ${git} fsck --strict`, join(at, "clone"));
  const status = await shell(`${git} status --porcelain`, join(at, "clone"));
  if (status !== "") throw new Error(`git sees changes: ${status}`);
}

async function tarBothWays({ at, beside, large }: Workplace): Promise<void> {
  makeTree(join(beside, "tree"), large ? 3_000 : 100);
  await shell(`ln -s d1 "${beside}/tree/link" && ln "${beside}/tree/d1/e1/file 1" "${beside}/tree/hard"`, at);
  await shell(`tar -C "${beside}" -cf in.tar tree && tar -xpf in.tar && tar -cf out.tar tree`, at);
  await shell(`mkdir back && tar -C back -xpf "${at}/out.tar" && diff -r --no-dereference tree back/tree`, beside);
}

async function rsyncTwice({ at, beside, large }: Workplace): Promise<void> {
  makeTree(join(beside, "tree"), large ? 3_000 : 100);
  const rsync = (flags: string) => shell(`rsync -aH ${flags} --itemize-changes "${beside}/tree/" "${at}/copy/"`, beside);
  await rsync("");
  const again = await rsync("--checksum");
  if (again !== "") throw new Error(`rsync would carry over again: ${again}`);
  const back = await shell(`rsync -aHn --checksum --itemize-changes "${at}/copy/" "${beside}/tree/"`, beside);
  if (back !== "") throw new Error(`rsync sees a difference: ${back}`);
}

async function checksums({ at, beside, large }: Workplace): Promise<void> {
  makeTree(join(beside, "tree"), large ? 3_000 : 100);
  await shell(`cp -a "${beside}/tree" .`, at);
  const sums = (folder: string) => shell("find . -type f -print0 | sort -z | xargs -0 sha256sum", join(folder, "tree"));
  if ((await sums(at)) !== (await sums(beside))) throw new Error("the sums differ");
}

async function ddPieces({ at, beside, large }: Workplace): Promise<void> {
  const count = large ? 5_000 : 300;
  await shell(`head -c ${count * 7_777} /dev/urandom > source`, beside);
  await shell(`dd if="${beside}/source" of=copied bs=7777 conv=fsync status=none && cmp "${beside}/source" copied`, at);
  await shell(
    `dd if="${beside}/source" of=copied bs=7777 skip=10 seek=10 count=50 conv=notrunc status=none && cmp "${beside}/source" copied`,
    at,
  );
  await shell(`dd if="${beside}/source" of=appended bs=7777 count=100 oflag=append conv=notrunc status=none`, at);
  await shell(`head -c ${100 * 7_777} "${beside}/source" | cmp - appended`, at);
}

async function editor({ at }: Workplace): Promise<void> {
  writeFileSync(join(at, "text"), "first\nsecond\n");
  for (let round = 0; round < 5; round++) {
    const edit = ["-c", `s/$/ ${round}/`, "-c", "wq"];
    await program(["vim.tiny", "-u", "NONE", "-es", "-c", "set backup backupcopy=no", ...edit, "text"], at);
  }
  const text = readFileSync(join(at, "text"), "utf8");
  if (!/ 0 1 2 3 4\n$/.test(text)) throw new Error(`the editor has left ${JSON.stringify(text)}`);
}

async function sqliteWriters({ at, beside, large }: Workplace, journal: "WAL" | "DELETE"): Promise<void> {
  const [writers, rows] = [3, large ? 500 : 25];
  const sql = (text: string) => program(["sqlite3", "-bail", "-cmd", ".timeout 30000", "db", text], at);
  await sql(`PRAGMA journal_mode = ${journal}; CREATE TABLE t (id INTEGER PRIMARY KEY, writer INT, text TEXT)`);
  const insert = (writer: number) =>
    Array.from({ length: rows }, (_, row) => `INSERT INTO t (writer, text) VALUES (${writer}, '${"x".repeat(row)}');`).join("\n");
  const script = (writer: number) => join(beside, `${writer}.sql`);
  for (let writer = 0; writer < writers; writer++) writeFileSync(script(writer), insert(writer));
  await Promise.all(Array.from({ length: writers }, (_, writer) => sql(`.read ${script(writer)}`)));
  const said = await sql("SELECT count(*), count(DISTINCT writer) FROM t; PRAGMA integrity_check");
  if (said !== `${writers * rows}|${writers}\nok\n`) throw new Error(`the database says ${said}`);
}

async function seekingReader({ at, beside, large }: Workplace): Promise<void> {
  const seconds = large ? 60 : 6;
  const source = `-f lavfi -i testsrc=duration=${seconds}:size=640x360:rate=25`;
  await shell(`ffmpeg -v error ${source} -c:v mpeg4 -q:v 1 -g 12 film.mp4`, beside);
  // Written here with its index moved to the front, which reads and writes all over the file.
  await shell(`ffmpeg -v error -i "${beside}/film.mp4" -c copy -movflags +faststart film.mp4`, at);
  const frame = (file: string, second: number) =>
    shell(`ffmpeg -v error -ss ${second} -i "${file}" -frames:v 1 -f rawvideo - | sha256sum`, beside);
  for (const second of [seconds - 1, 1, seconds / 2, 0]) {
    if ((await frame(join(at, "film.mp4"), second)) !== (await frame(join(beside, "film.mp4"), second)))
      throw new Error(`another picture at second ${second}`);
  }
}

async function fioVerify({ at, large }: Workplace): Promise<void> {
  const size = large ? "256m" : "8m";
  const common = `--directory="${at}" --size=${size} --verify=crc32c --verify_fatal=1 --do_verify=1 --minimal --thread`;
  const jobs = [
    "--name=sequential --rw=write --bs=64k",
    "--name=random --rw=randwrite --bs=4k --numjobs=2 --fsync=256",
    "--name=mixed --rw=randrw --bs=512-16k --end_fsync=1",
    "--name=mapped --rw=randwrite --bs=4k --ioengine=mmap",
    "--name=direct --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8",
  ];
  for (const job of jobs) {
    await shell(`fio ${job} ${common} > /dev/null`, at);
    rmSync(at, { recursive: true, force: true });
    mkdirSync(at);
  }
}
