/** Transfers between real processes whose rights are taken away in the middle: the nodes learn of it by their heartbeats. */
import { expect, test } from "bun:test";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exitCodeOf } from "../../protocol/errors.ts";
import { expectFailure, succeed, succeedJson, until } from "../support/e2e-commands.ts";
import { bytesOf } from "../support/e2e-files.ts";
import { type Guest, guestOf } from "../support/e2e-guest.ts";
import { type Collective, type Handle, start, startCollective } from "../support/process.ts";

const dora = "dora@home.collective.local";
const everybody = "*@home.collective.local";
const mebibyte = 1024 * 1024;
const large = bytesOf("large", 96 * mebibyte);
const minuteMs = 60_000;

async function startShared(rights: string): Promise<{ collective: Collective; guest: Guest } & AsyncDisposable> {
  const collective = await startCollective({ nodes: 2 });
  const guest = await guestOf(collective);
  await succeed(collective, ["mkdir", "-p", "/shared/open"]);
  await grantTo(collective, rights, dora, everybody);
  return { collective, guest, [Symbol.asyncDispose]: () => collective[Symbol.asyncDispose]() };
}

async function grantTo(collective: Collective, rights: string, ...subjects: readonly string[]): Promise<void> {
  for (const subject of subjects) await succeed(collective, ["access", "grant", "/shared/open", subject, "--rights", rights]);
}

async function revoke(collective: Collective, ...subjects: readonly string[]): Promise<void> {
  for (const subject of subjects) await succeed(collective, ["access", "revoke", "/shared/open", subject]);
  await nodesHeard(collective);
}

/** Until each node has had an answer to a heartbeat that it sent from now on. */
async function nodesHeard(collective: Collective): Promise<void> {
  const seen = async () =>
    ((await succeedJson(collective, ["status"])) as { local_nodes: { last_seen: string }[] }).local_nodes.map((node) => node.last_seen);
  for (let beats = 0; beats < 2; beats++) {
    const before = await seen();
    await until(seen, (now) => now.every((lastSeen, index) => lastSeen !== before[index]));
  }
}

/** Fetching, stopped when the first bytes are here, and with them the tickets for the others. */
async function halfway(guest: Guest, folder: string): Promise<Handle> {
  const handle = start(["get", "/shared/open/large", join(folder, "fetched")], { env: guest.env });
  await until(
    () => readdirSync(folder).find((name) => name.startsWith(".collective-part-")),
    (part) => part !== undefined && firstBytes(join(folder, part)).equals(large.subarray(0, 16)),
    { pollMs: 1 },
  );
  process.kill(handle.pid, "SIGSTOP");
  return handle;
}

function firstBytes(path: string): Buffer {
  const bytes = Buffer.alloc(16);
  const fd = openSync(path, "r");
  readSync(fd, bytes);
  closeSync(fd);
  return bytes;
}

test("a download ends with the right, within a minute, and nothing half fetched shows; with another right it goes on", async () => {
  await using shared = await startShared("read");
  const { collective, guest } = shared;
  await succeed(collective, ["write", "/shared/open/large"], { stdin: large });
  const folder = join(collective.home.path, "dora");
  const target = join(folder, "fetched");
  {
    await using handle = await halfway(guest, folder);
    expect(existsSync(target)).toBe(false);
    await revoke(collective, dora);
    process.kill(handle.pid, "SIGCONT");
    expect(`${await handle.exited} ${handle.stderr()}`).toBe("0 ");
    expect(Buffer.compare(readFileSync(target), large)).toBe(0);
  }
  writeFileSync(target, "as it was");
  await grantTo(collective, "read", dora);
  await using handle = await halfway(guest, folder);
  const revokedMs = performance.now();
  await revoke(collective, dora, everybody);
  process.kill(handle.pid, "SIGCONT");
  const exitCode = await handle.exited;
  expect(performance.now() - revokedMs).toBeLessThan(minuteMs);
  expectFailure(
    { exitCode, stdout: handle.stdout(), stderr: handle.stderr() },
    { code: "permission_denied", says: /taken away meanwhile: the ticket was withdrawn/ },
  );
  expect(readFileSync(target, "utf8")).toBe("as it was");
}, 120_000);

/** Storing what comes on standard input: half of it, then what happens, then the rest. */
async function writeThrough(guest: Guest, path: string, inTheMiddle: () => Promise<void>): Promise<Handle> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const handle = start(["write", path], { env: guest.env, stdin: readable });
  const writer = writable.getWriter();
  const half = large.length / 2;
  await writer.write(large.subarray(0, half));
  await inTheMiddle();
  // Whoever is refused stops reading before the end.
  await writer.write(large.subarray(half)).then(
    () => writer.close(),
    () => undefined,
  );
  return handle;
}

test("an upload ends with the right or with its time, and nothing of the file shows; with another right it goes on", async () => {
  await using shared = await startShared("read+write");
  const { collective, guest } = shared;
  {
    await using handle = await writeThrough(guest, "/shared/open/kept", () => revoke(collective, dora));
    expect(`${await handle.exited} ${handle.stderr()}`).toBe("0 ");
    const { stdoutBytes } = await succeed(collective, ["read", "/shared/open/kept"]);
    expect(Buffer.compare(stdoutBytes, large)).toBe(0);
  }
  {
    await using handle = await writeThrough(guest, "/shared/open/kept", () => revoke(collective, everybody));
    // A node refuses the ticket, or the coordinator shows nothing of what there was: as it comes.
    expect([exitCodeOf.permission_denied, exitCodeOf.not_found] as number[]).toContain(await handle.exited);
  }
  await succeed(collective, ["access", "grant", "/shared/open", dora, "--rights", "read+write", "--expires", "3s"]);
  const ended = async (): Promise<void> => {
    await until(
      async () => (await guest.run(["ls", "/shared/open"])).exitCode,
      (exitCode) => exitCode === 3,
    );
  };
  await using handle = await writeThrough(guest, "/shared/open/never", ended);
  const exitCode = await handle.exited;
  expectFailure(
    { exitCode, stdout: handle.stdout(), stderr: handle.stderr() },
    { code: "permission_denied", says: /what dora@home\.collective\.local was granted ended on/ },
  );
  expect((await succeed(collective, ["ls", "/shared/open"])).stdout).toBe("kept\n");
  const { stdoutBytes } = await succeed(collective, ["read", "/shared/open/kept"]);
  expect(Buffer.compare(stdoutBytes, large)).toBe(0);
}, 120_000);
