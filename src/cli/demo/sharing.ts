/**
 * What each member grants to the others is read there, byte by byte, and what it does not grant is refused:
 * for all pairs, in both directions.
 */
import { CollectiveError, type ErrorCode, toCollectiveError } from "../../../protocol/errors.ts";
import { mebibyte } from "../../../protocol/limits.ts";
import { routes } from "../../../protocol/routes.ts";
import { makeDirectoryPath } from "../../client/directories.ts";
import { readRange } from "../../client/download.ts";
import { filePlaceOf, statPath } from "../../client/files.ts";
import { createIngest } from "../../client/ingest.ts";
import type { Remote } from "../../client/remote.ts";
import { bytesSource } from "../../client/sources.ts";
import { retry } from "../../core/retry.ts";
import { formatDuration, formatSize } from "../../core/units.ts";
import { renderTable } from "../output/table.ts";
import type { CastMember, Stage } from "./cast.ts";

/** More than one chunk, and no whole number of them. */
const letterBytes = 5 * mebibyte + 1;
const [sharedStore, privateStore, fileName] = ["shared", "private", "letter.bin"];

/** Nodes hear of a new peer with a heartbeat, and turn its people away until then. */
const untilNodesHave = { attemptsMax: 12, firstDelayMs: 100, delayMsMax: 1_000 } as const;

/** Throws `internal` when a member sees anything else than what it was granted. */
export async function shareAmongAll(stage: Stage, members: readonly CastMember[]): Promise<void> {
  const { io, say } = stage;
  const startedMs = io.clock.monotonicMs();
  say(`\n${io.out.colours.bold("Sharing")}: each member grants the others its /${sharedStore} and keeps /${privateStore} to itself`);
  const letters = await Promise.all(members.map((owner) => writeLetters(stage, owner, members)));
  const rows: string[][] = [];
  for (const { owner, sha256 } of letters)
    for (const reader of members) if (reader !== owner) rows.push(await readAs(stage, { owner, reader, sha256 }));
  const headers = ["owner", "reader", `reads /${sharedStore}`, "writes there", `reads /${privateStore}`];
  say(renderTable({ columns: headers.map((header) => ({ header })), rows, colours: io.out.colours, indent: 2 }));
  say(`  all ${rows.length} as granted, in ${formatDuration(io.clock.monotonicMs() - startedMs)}`);
}

interface Letter {
  readonly owner: CastMember;
  readonly sha256: string;
}

/** The same bytes in both stores, so that only the rights differ. */
async function writeLetters({ io }: Stage, owner: CastMember, members: readonly CastMember[]): Promise<Letter> {
  const { remote } = owner.session;
  const { signal } = io;
  const bytes = io.random.bytes(letterBytes);
  for (const store of [sharedStore, privateStore]) {
    const { inode } = await makeDirectoryPath(remote, [store], signal);
    const place = await filePlaceOf(remote, [store, fileName], signal);
    const mtimeNs = BigInt(Math.trunc(io.clock.wallMs())) * 1_000_000n;
    const ingest = createIngest(remote, { signal });
    await ingest.add({ parent: place.parent.inode, name: place.name, store: place.store, mode: 0o600, mtimeNs }, bytesSource(bytes));
    await ingest.finish();
    const readers = store === sharedStore ? members.filter((member) => member !== owner) : [];
    for (const { name } of readers) await remote.control.call(routes.grantAccess, { inode, subject: name, rights: ["read"] }, { signal });
  }
  return { owner, sha256: sha256Of(bytes) };
}

interface Reading extends Letter {
  readonly reader: CastMember;
}

async function readAs({ io }: Stage, { owner, reader, sha256 }: Reading): Promise<string[]> {
  const { remote } = await reader.session.at(`/@${owner.name}/`);
  const read = (): Promise<string> => readLetter(remote, io.signal);
  const retryable = (error: unknown): boolean => error instanceof CollectiveError && error.retryable;
  const found = await retry(read, { policy: untilNodesHave, clock: io.clock, random: io.random, signal: io.signal, retryable });
  if (found !== sha256)
    throw new CollectiveError("internal", `${reader.shortName} read other bytes than ${owner.shortName} has written to /${sharedStore}`);
  const who = `${reader.shortName} at ${owner.shortName}`;
  return [
    owner.shortName,
    reader.shortName,
    `${formatSize(letterBytes)}, SHA-256 equal`,
    await refused(`${who} in /${sharedStore}`, "permission_denied", () => makeDirectoryPath(remote, [sharedStore, "mine"], io.signal)),
    await refused(`${who} in /${privateStore}`, "not_found", () => statPath(remote, [privateStore, fileName], io.signal)),
  ];
}

async function readLetter(remote: Remote, signal: AbortSignal): Promise<string> {
  const { inode, version: ifVersion } = await statPath(remote, [sharedStore, fileName], signal);
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const piece of readRange(remote, { inode, offset: 0, lengthBytes: letterBytes, ifVersion }, signal)) hasher.update(piece);
  return hasher.digest("hex");
}

/** Answers what to show. Throws `internal` when it was let through, and what else was thrown. */
async function refused(who: string, expected: ErrorCode, attempt: () => Promise<unknown>): Promise<string> {
  const error = await attempt().then(() => undefined, toCollectiveError);
  if (error === undefined) throw new CollectiveError("internal", `${who} was let in without a grant`);
  if (error.code !== expected) throw error;
  return `refused: ${expected}`;
}

function sha256Of(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
