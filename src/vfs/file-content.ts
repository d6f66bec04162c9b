/**
 * What a file consists of on this mount: its last committed version, and over that what was written here since. One for all
 * handles of a file, so that each sees at once what another wrote.
 *
 * - `local` is what the spool has and is read from there; `unsaved`, a part of it, is what no commit has yet.
 * - Of the committed version only the first `storedBytes` count: a truncation lowers that, and what a longer file has above reads as zero.
 * - A commit takes what is unsaved, and gives it back when it fails; writes go on meanwhile and belong to the next.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { fileBytesMax } from "../../protocol/limits.ts";
import { createRanges, type Range, type Ranges } from "./ranges.ts";
import type { Spool, SpoolFolder } from "./spool.ts";
import type { StoredContent } from "./stored-content.ts";

export interface UnsavedContent {
  readonly sizeBytes: number;
  readonly written: Ranges;
  /** Cut or lengthened by itself, not just by what was written. */
  readonly resized: boolean;
  readonly stored: StoredContent;
  readonly storedBytes: number;
}

export interface FileContent {
  readonly sizeBytes: number;
  readonly stored: StoredContent;
  /** Or taken by a commit that is under way. */
  readonly hasUnsaved: boolean;
  readonly unsavedBytes: number;
  /** In the spool. */
  readonly localBytes: number;
  /** What there is of the range; a promise only where it must be waited for. */
  read(range: Range): Uint8Array[] | Promise<Uint8Array[]>;
  readAhead(range: Range): void;
  write(data: Uint8Array, at: number): Promise<void> | undefined;
  resize(sizeBytes: number): void;
  takeUnsaved(): UnsavedContent;
  giveBack(unsaved: UnsavedContent): void;
  /** A commit of what was taken last has become this version. */
  committed(stored: StoredContent): void;
  /** Another client has committed: what is unsaved here lies over that now. */
  rebase(stored: StoredContent): void;
  /** Frees the spool if all of it is committed. */
  dropLocal(): void;
  discard(): void;
}

export function createFileContent(initial: StoredContent, spools: SpoolFolder): FileContent {
  let stored = initial;
  let storedBytes = stored.sizeBytes;
  let sizeBytes = stored.sizeBytes;
  let local = createRanges();
  let unsaved = createRanges();
  let resized = false;
  /** Least size since the last commit began. */
  let lowestBytes = sizeBytes;
  let spool: Spool | undefined;
  let writesUnderWay = 0;
  let isCommitting = false;

  const partOf = ({ start, end, inside }: Range & { readonly inside: boolean }): (Uint8Array[] | Promise<Uint8Array[]>)[] => {
    if (inside && spool) {
      const bytes = new Uint8Array(end - start);
      const pending = spool.read(bytes, start);
      return [pending ? pending.then(() => [bytes]) : [bytes]];
    }
    const storedEnd = Math.max(start, Math.min(end, storedBytes));
    const range = { start, end: storedEnd };
    const below = storedEnd > start ? [stored.peek(range) ?? stored.read(range)] : [];
    return end > storedEnd ? [...below, [new Uint8Array(end - storedEnd)]] : below;
  };
  const read: FileContent["read"] = ({ start, end }) => {
    const parts = local.split({ start, end: Math.min(end, sizeBytes) }).flatMap(partOf);
    return parts.every((part) => Array.isArray(part)) ? parts.flat() : Promise.all(parts).then((views) => views.flat());
  };
  const noteWritten = (range: Range): void => {
    local.add(range);
    unsaved.add(range);
    sizeBytes = Math.max(sizeBytes, range.end);
  };
  const dropLocal = (): void => {
    if (isCommitting || writesUnderWay > 0 || unsaved.bytes > 0) return;
    spool?.discard();
    spool = undefined;
    local = createRanges();
  };
  return {
    get sizeBytes() {
      return sizeBytes;
    },
    get stored() {
      return stored;
    },
    get hasUnsaved() {
      return isCommitting || resized || unsaved.bytes > 0;
    },
    get unsavedBytes() {
      return unsaved.bytes;
    },
    get localBytes() {
      return local.bytes;
    },
    read,
    readAhead: ({ start, end }) => {
      const range = { start, end: Math.min(end, storedBytes) };
      if (range.end > range.start && !local.overlaps(range)) stored.readAhead(range);
    },
    write: (data, at) => {
      const range = { start: at, end: at + data.length };
      if (range.end > fileBytesMax) throw new CollectiveError("too_large", `a file has at most ${fileBytesMax} bytes`);
      spool ??= spools.openSpool();
      writesUnderWay++;
      const pending = spool.write(data, at);
      if (!pending) {
        writesUnderWay--;
        noteWritten(range);
        return undefined;
      }
      return pending
        .then(() => noteWritten(range))
        .finally(() => {
          writesUnderWay--;
        });
    },
    resize: (toBytes) => {
      if (toBytes > fileBytesMax) throw new CollectiveError("too_large", `a file has at most ${fileBytesMax} bytes`);
      if (toBytes === sizeBytes) return;
      sizeBytes = toBytes;
      storedBytes = Math.min(storedBytes, toBytes);
      lowestBytes = Math.min(lowestBytes, toBytes);
      local.cut(toBytes);
      unsaved.cut(toBytes);
      resized = true;
    },
    takeUnsaved: () => {
      const taken = { sizeBytes, written: unsaved, resized, stored, storedBytes };
      unsaved = createRanges();
      resized = false;
      isCommitting = true;
      lowestBytes = sizeBytes;
      return taken;
    },
    giveBack: (taken) => {
      isCommitting = false;
      for (const range of taken.written.list()) unsaved.add(range);
      unsaved.cut(Math.min(sizeBytes, lowestBytes));
      resized ||= taken.resized;
    },
    committed: (version) => {
      isCommitting = false;
      stored = version;
      storedBytes = Math.min(version.sizeBytes, lowestBytes);
    },
    rebase: (version) => {
      const isOwnSize = resized;
      stored = version;
      storedBytes = isOwnSize ? Math.min(storedBytes, version.sizeBytes) : version.sizeBytes;
      sizeBytes = isOwnSize ? sizeBytes : Math.max(version.sizeBytes, unsaved.end);
      local = createRanges(unsaved.list());
      dropLocal();
    },
    dropLocal,
    discard: () => spool?.discard(),
  };
}
