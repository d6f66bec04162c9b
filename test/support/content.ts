/** Content to store, and the steps of storing and reading it, as tests of the client take them. */
import type { Inode } from "../../protocol/ids.ts";
import type { Attr, ContentVersion, Store } from "../../protocol/schema.ts";
import { readRange } from "../../src/client/download.ts";
import { createIngest, type IngestOptions, type IngestTotals } from "../../src/client/ingest.ts";
import type { ContentSource } from "../../src/client/pieces.ts";
import type { Remote } from "../../src/client/remote.ts";
import { bytesSource } from "../../src/client/sources.ts";

/** Incompressible, different for each seed, quick to make: xorshift over words. */
export function content(bytes: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state = (state ^ (state << 5)) >>> 0;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, bytes);
}

/** Of a length that nobody tells. */
export function unknownLength(bytes: Uint8Array): ContentSource {
  return { ...bytesSource(bytes), sizeBytes: undefined };
}

export interface FileToWrite {
  readonly name: string;
  readonly source: ContentSource | Uint8Array;
  readonly parent?: Inode;
  readonly replaces?: ContentVersion | null;
}

export async function ingestFiles(
  remote: Remote,
  store: Pick<Store, "inode">,
  files: readonly FileToWrite[],
  options: IngestOptions = {},
): Promise<{ attrs: Attr[]; totals: IngestTotals }> {
  const ingest = createIngest(remote, options);
  const committed: Promise<Attr>[] = [];
  for (const { name, source, parent, replaces } of files) {
    const place = {
      parent: parent ?? store.inode,
      name,
      store: store.inode,
      mode: 0o644,
      mtimeNs: 1_000n,
      ...(replaces === undefined ? {} : { replaces }),
    };
    const added = await ingest.add(place, source instanceof Uint8Array ? bytesSource(source) : source);
    added.committed.catch(() => undefined);
    committed.push(added.committed);
  }
  const totals = await ingest.finish();
  return { attrs: await Promise.all(committed), totals };
}

export async function ingestFile(remote: Remote, store: Pick<Store, "inode">, file: FileToWrite, options: IngestOptions = {}) {
  const { attrs, totals } = await ingestFiles(remote, store, [file], options);
  const [attr] = attrs;
  if (!attr) throw new Error("nothing was committed");
  return { attr, totals };
}

export interface RangeToRead {
  readonly offset?: number;
  readonly lengthBytes?: number;
  readonly ifVersion?: number;
}

export async function readContent(remote: Remote, inode: Inode, range: RangeToRead = {}, signal?: AbortSignal): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const { offset = 0, lengthBytes = Number.MAX_SAFE_INTEGER, ifVersion } = range;
  for await (const piece of readRange(remote, { inode, offset, lengthBytes, ...(ifVersion === undefined ? {} : { ifVersion }) }, signal)) {
    pieces.push(Uint8Array.from(piece));
  }
  return Buffer.concat(pieces);
}

/** Waits until a condition holds that somebody else brings about. */
export async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadlineMs = Date.now() + 5_000;
  while (!(await holds())) {
    if (Date.now() > deadlineMs) throw new Error(`waited too long: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
