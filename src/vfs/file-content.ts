/**
 * What a file consists of on this mount: its last committed version, and over that what was written here since. One for all
 * handles of a file, so that each sees at once what another wrote.
 *
 * - `local` is what the spool has and is read from there; `unsaved`, a part of it, is what no commit has yet.
 * - Of the committed version only the first `storedBytes` count: a truncation lowers that, and what a longer file has above reads as zero.
 * - `zeroed` are holes made here, over what is committed and under what is local; `punched`, a part of it, are those that no commit has yet.
 * - A commit takes what is unsaved, and gives it back when it fails; writes go on meanwhile and belong to the next.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { fileBytesMax } from "../../protocol/limits.ts";
import { zeroPieces } from "../core/buffers.ts";
import { createFragments, type Fragments } from "./fragments.ts";
import { createRanges, type Range, type Ranges } from "./ranges.ts";
import type { Spool, SpoolFolder } from "./spool.ts";
import type { StoredContent } from "./stored-content.ts";

export interface UnsavedContent {
  readonly appendedFrom: number | undefined;
  readonly sizeBytes: number;
  readonly written: Ranges;
  readonly punched: Ranges;
  /** Cut or lengthened by itself, not just by what was written. */
  readonly resized: boolean;
  readonly stored: StoredContent;
  readonly storedBytes: number;
  readonly fragments: Fragments;
}

export interface FileContent {
  readonly sizeBytes: number;
  readonly stored: StoredContent;
  /** Or taken by a commit that is under way. */
  readonly hasUnsaved: boolean;
  readonly unsavedBytes: number;
  /** How many separate ranges were written or made holes. */
  readonly unsavedPieces: number;
  /** This mount has left it in pieces that may be put together. */
  readonly hasFragments: boolean;
  /** In the spool. */
  readonly localBytes: number;
  /** What there is of the range; a promise only where it must be waited for. */
  read(range: Range): Uint8Array[] | Promise<Uint8Array[]>;
  readAhead(range: Range): void;
  /** `appends`: what comes at the end belongs there, wherever that turns out to be. */
  write(data: Uint8Array, at: number, appends?: boolean): Promise<void> | undefined;
  resize(sizeBytes: number): void;
  /** Makes a hole, as far as the file reaches. */
  punch(range: Range): void;
  /** The next data or hole from there on; the end of the file is a hole. Undefined when only a hole follows. */
  seek(from: number, wanted: "data" | "hole"): Promise<number | undefined>;
  /** The commit will make the file so long at least. */
  takeUnsaved(reachesTo?: number): UnsavedContent;
  giveBack(unsaved: UnsavedContent): void;
  /** A commit of what was taken last has become this version. */
  committed(stored: StoredContent): void;
  /** What the committed version has there now is not what was written there before. */
  noteCopied(range: Range): void;
  /** Another client's version ends there: what was appended here and is not stored yet comes behind it. */
  moveAppended(endBytes: number): Promise<void>;
  /** Another client has committed: what is unsaved here lies over that now. */
  rebase(stored: StoredContent): void;
  /** Frees the spool if all of it is committed. */
  dropLocal(): void;
  discard(): void;
}

const movedPieceBytes = 1024 * 1024;
/** What is asked of the coordinator at a time. */
const seekStepBytes = 1024 * 1024 * 1024;

export function createFileContent(initial: StoredContent, spools: SpoolFolder): FileContent {
  let stored = initial;
  let storedBytes = stored.sizeBytes;
  let sizeBytes = stored.sizeBytes;
  let local = createRanges();
  let unsaved = createRanges();
  let zeroed = createRanges();
  let punched = createRanges();
  const fragments = createFragments();
  let resized = false;
  /** Least size since the last commit began. */
  let lowestBytes = sizeBytes;
  let spool: Spool | undefined;
  let writesUnderWay = 0;
  let isCommitting = false;
  /** Unsaved bytes from here on were appended, all of them. */
  let appendedFrom: number | undefined;
  /** Never rejects. Writes wait for it. */
  let moving: Promise<unknown> | undefined;

  /** What lies under the local content. */
  const notLocal = (range: Range): (Range & { readonly hole: boolean })[] =>
    zeroed.split(range).flatMap(({ start, end, inside }) => {
      const storedEnd = inside ? start : Math.max(start, Math.min(end, storedBytes));
      return [
        { start, end: storedEnd, hole: false },
        { start: storedEnd, end, hole: true },
      ].filter((part) => part.end > part.start);
    });
  const partOf = ({ start, end, inside }: Range & { readonly inside: boolean }): (Uint8Array[] | Promise<Uint8Array[]>)[] => {
    if (inside && spool) {
      const bytes = new Uint8Array(end - start);
      const pending = spool.read(bytes, start);
      return [pending ? pending.then(() => [bytes]) : [bytes]];
    }
    return notLocal({ start, end }).map(({ hole, ...range }) =>
      hole ? [...zeroPieces(range.end - range.start)] : (stored.peek(range) ?? stored.read(range)),
    );
  };
  const read: FileContent["read"] = ({ start, end }) => {
    const parts = local.split({ start, end: Math.min(end, sizeBytes) }).flatMap(partOf);
    return parts.every((part) => Array.isArray(part)) ? parts.flat() : Promise.all(parts).then((views) => views.flat());
  };
  const noteWritten = (range: Range, appends: boolean): void => {
    // The kernel writes whole pages: what was there before comes along.
    if (appends && range.start <= sizeBytes && range.end > sizeBytes) appendedFrom ??= sizeBytes;
    else if (!appends && range.end > (appendedFrom ?? Number.POSITIVE_INFINITY)) appendedFrom = undefined;
    local.add(range);
    unsaved.add(range);
    sizeBytes = Math.max(sizeBytes, range.end);
  };
  const write = (data: Uint8Array, at: number, appends = false): Promise<void> | undefined => {
    const isEnd = appends && at === sizeBytes;
    if (moving) return moving.then(() => write(data, isEnd ? sizeBytes : at, appends));
    const range = { start: at, end: at + data.length };
    if (range.end > fileBytesMax) throw new CollectiveError("too_large", `a file has at most ${fileBytesMax} bytes`);
    spool ??= spools.openSpool();
    writesUnderWay++;
    const pending = spool.write(data, at);
    if (!pending) {
      writesUnderWay--;
      noteWritten(range, appends);
      return undefined;
    }
    return pending
      .finally(() => {
        writesUnderWay--;
      })
      .then(() => {
        // Another client's bytes have come there meanwhile.
        if (isEnd && sizeBytes > at) return write(data, sizeBytes, appends);
        noteWritten(range, appends);
      });
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
      return isCommitting || resized || unsaved.bytes > 0 || punched.bytes > 0;
    },
    get unsavedPieces() {
      return unsaved.list().length + punched.list().length;
    },
    get hasFragments() {
      return !fragments.isEmpty;
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
    write,
    resize: (toBytes) => {
      if (toBytes > fileBytesMax) throw new CollectiveError("too_large", `a file has at most ${fileBytesMax} bytes`);
      if (toBytes === sizeBytes) return;
      sizeBytes = toBytes;
      storedBytes = Math.min(storedBytes, toBytes);
      lowestBytes = Math.min(lowestBytes, toBytes);
      for (const ranges of [local, unsaved, zeroed, punched]) ranges.cut(toBytes);
      resized = true;
      appendedFrom = undefined;
    },
    punch: ({ start, end }) => {
      const range = { start, end: Math.min(end, sizeBytes) };
      for (const ranges of [local, unsaved]) ranges.remove(range);
      for (const ranges of [zeroed, punched]) ranges.add(range);
    },
    seek: async (from, wanted) => {
      for (let at = from; at < sizeBytes; at += seekStepBytes) {
        for (const part of local.split({ start: at, end: Math.min(at + seekStepBytes, sizeBytes) })) {
          if (part.inside) {
            if (wanted === "data") return part.start;
            continue;
          }
          for (const { start, end, hole } of notLocal(part)) {
            const parts = hole ? [{ offset: start, chunk: undefined }] : await stored.parts({ start, end });
            const found = parts.find(({ chunk }) => (chunk === undefined) === (wanted === "hole"));
            if (found) return found.offset;
          }
        }
      }
      return wanted === "hole" ? Math.max(from, sizeBytes) : undefined;
    },
    takeUnsaved: (reachesTo = 0) => {
      const sizes = { sizeBytes: Math.max(sizeBytes, reachesTo), storedBytes };
      const taken = { ...sizes, written: unsaved, punched, resized, stored, fragments, appendedFrom };
      appendedFrom = undefined;
      unsaved = createRanges();
      punched = createRanges();
      resized = false;
      isCommitting = true;
      lowestBytes = taken.sizeBytes;
      return taken;
    },
    giveBack: (taken) => {
      isCommitting = false;
      // What was cut away, written or made a hole meanwhile is newer.
      for (const ranges of [taken.written, taken.punched]) ranges.cut(Math.min(sizeBytes, lowestBytes));
      for (const range of taken.written.list()) for (const part of punched.split(range)) if (!part.inside) unsaved.add(part);
      for (const range of taken.punched.list()) punched.add(range);
      resized ||= taken.resized;
      appendedFrom = taken.appendedFrom ?? appendedFrom;
    },
    committed: (version) => {
      isCommitting = false;
      stored = version;
      storedBytes = Math.min(version.sizeBytes, lowestBytes);
      zeroed = createRanges(punched.list());
    },
    noteCopied: (range) => {
      for (const part of unsaved.split(range)) if (!part.inside) local.remove(part);
      // Whoever has set a size meanwhile has the last word.
      if (!resized) sizeBytes = Math.max(sizeBytes, range.end);
    },
    moveAppended: async (endBytes) => {
      while (writesUnderWay > 0) await new Promise<void>((resolve) => setImmediate(resolve));
      if (!spool || appendedFrom === undefined || endBytes <= appendedFrom || resized) return;
      const [from, by, source] = [appendedFrom, endBytes - appendedFrom, spool];
      const target = spools.openSpool();
      const moved = createRanges();
      const move = async (): Promise<void> => {
        for (const range of unsaved.list()) {
          for (let at = range.start; at < range.end; ) {
            const end = Math.min(range.end, at + movedPieceBytes, at < from ? from : Number.POSITIVE_INFINITY);
            const to = at < from ? at : at + by;
            const piece = new Uint8Array(end - at);
            await source.read(piece, at);
            await target.write(piece, to);
            moved.add({ start: to, end: to + piece.length });
            at = end;
          }
        }
      };
      const done = move();
      moving = done.catch(() => undefined);
      try {
        await done;
      } catch (error) {
        target.discard();
        throw error;
      } finally {
        moving = undefined;
      }
      source.discard();
      spool = target;
      unsaved = moved;
      local = createRanges(moved.list());
      sizeBytes += by;
      appendedFrom = endBytes;
    },
    rebase: (version) => {
      const isCut = resized && storedBytes < stored.sizeBytes;
      const ownBytes = resized ? sizeBytes : unsaved.end;
      stored = version;
      storedBytes = isCut ? Math.min(storedBytes, version.sizeBytes) : version.sizeBytes;
      sizeBytes = isCut ? sizeBytes : Math.max(version.sizeBytes, ownBytes);
      local = createRanges(unsaved.list());
      zeroed = createRanges(punched.list());
      fragments.clear();
      dropLocal();
    },
    dropLocal,
    discard: () => spool?.discard(),
  };
}
