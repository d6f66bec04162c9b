/**
 * Carries files into another datastore, at the same member or another: read with the keys of the one, sealed
 * with those of the other, and never on this machine's disk. Small files are read many at a time while the group before them is sealed, so memory is
 * bounded by two groups and what `createIngest` holds.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { chunksPerTicketMax, fileBytesMax, filesPerCommitMax, mebibyte } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { type Attr, posixOwnerOf, type SpecialType, specialTypes } from "../../protocol/schema.ts";
import type { CopyItem, CopyOptions, CopyTotals } from "./copy.ts";
import { readRange } from "./download.ts";
import { createIngest, type IngestTarget } from "./ingest.ts";
import type { ContentSource } from "./pieces.ts";
import { isSmallFile, readMany } from "./read-many.ts";
import type { Remote } from "./remote.ts";
import { bytesSource } from "./sources.ts";

export interface StoreTransfer {
  /** One call at a time. Nothing is there for sure before `finish` has resolved. */
  add(item: CopyItem): Promise<void>;
  /** Waits until all is durable. May be called again when nothing was added since. */
  finish(): Promise<CopyTotals>;
}

const groupBytesMax = 4 * mebibyte;

export interface TransferEnds {
  readonly from: Remote;
  readonly to: Remote;
  /** At `to`. */
  readonly store: Inode;
}

export function createStoreTransfer({ from, to, store }: TransferEnds, { signal, onProgress }: CopyOptions): StoreTransfer {
  const ingest = createIngest(to, { signal, onProgress: (bytes) => onProgress?.({ files: 0, bytes }) });
  let group: CopyItem[] = [];
  let groupBytes = 0;
  let links: CopyItem[] = [];
  let before: Promise<void> = Promise.resolve();
  let finished: Promise<CopyTotals> | undefined;

  const addFile = async (item: CopyItem, source: ContentSource): Promise<void> => {
    await ingest.add(placeFor(item, store), source);
    onProgress?.({ files: 1, bytes: 0 });
  };
  const sendGroup = async (): Promise<void> => {
    const items = group;
    group = [];
    groupBytes = 0;
    if (items.length === 0) return;
    const reading = readMany(
      from,
      items.map((item) => item.attr),
      signal,
    );
    reading.catch(() => undefined);
    await before;
    const contents = await reading;
    before = (async () => {
      for (const [index, item] of items.entries()) await addFile(item, bytesSource(contents[index] ?? new Uint8Array(0)));
    })();
    before.catch(() => undefined);
  };
  const sendLarge = async (item: CopyItem): Promise<void> => {
    await before;
    const { inode, version, sizeBytes } = item.attr;
    // Asked for beyond its end, a file that has grown is not cut off; the version says so if it has.
    const content = readRange(from, { inode, offset: 0, lengthBytes: fileBytesMax, ifVersion: version }, signal);
    try {
      await addFile(item, piecesSource(content, sizeBytes));
    } finally {
      await content.return(undefined);
    }
  };
  const sendLinks = async (): Promise<void> => {
    const items = links;
    links = [];
    if (items.length === 0) return;
    const made = items.map(({ attr, parent, name }) => ({
      parent,
      name,
      target: targetOf(attr),
      mtimeNs: attr.mtimeNs,
      ...posixOwnerOf(attr),
    }));
    await to.control.call(routes.makeSymlinks, { links: made }, { signal });
    onProgress?.({ files: items.length, bytes: 0 });
  };
  const sendSpecial = async ({ attr, parent, name }: CopyItem, type: SpecialType): Promise<void> => {
    const node = { parent, name, type, mode: attr.mode, device: attr.device ?? 0, ...posixOwnerOf(attr) };
    await to.control.call(routes.makeNode, node, { signal });
    onProgress?.({ files: 1, bytes: 0 });
  };

  return {
    add: async (item) => {
      const special = specialTypes.find((type) => type === item.attr.type);
      if (special) {
        await sendSpecial(item, special);
      } else if (item.attr.type === "symlink") {
        links.push(item);
        if (links.length >= filesPerCommitMax) await sendLinks();
      } else if (isSmallFile(item.attr)) {
        group.push(item);
        groupBytes += item.attr.sizeBytes;
        if (group.length >= chunksPerTicketMax || groupBytes >= groupBytesMax) await sendGroup();
      } else {
        await sendLarge(item);
      }
    },
    finish: () => {
      finished ??= (async () => {
        await sendLinks();
        await sendGroup();
        await before;
        const { degradedChunks, because } = await ingest.finish();
        return { degradedChunks, because };
      })();
      return finished;
    },
  };
}

function placeFor({ attr, parent, name }: CopyItem, store: Inode): IngestTarget {
  return { parent, name, store, mode: attr.mode, mtimeNs: attr.mtimeNs, ...posixOwnerOf(attr) };
}

function targetOf(attr: Attr): string {
  if (attr.target === undefined) throw new CollectiveError("internal", "a symbolic link came without its target");
  return attr.target;
}

/** Content that comes in pieces, each valid until the next is asked for. */
function piecesSource(pieces: AsyncGenerator<Uint8Array>, sizeBytes: number): ContentSource {
  let rest: Uint8Array = new Uint8Array(0);
  return {
    sizeBytes,
    read: async (into) => {
      let filled = 0;
      while (filled < into.length) {
        if (rest.length === 0) {
          const { done, value } = await pieces.next();
          if (done) break;
          rest = value;
          continue;
        }
        const part = rest.subarray(0, into.length - filled);
        into.set(part, filled);
        filled += part.length;
        rest = rest.subarray(part.length);
      }
      return filled;
    },
  };
}
