/**
 * Looks at a database's files before SQLite touches them, and changes nothing: SQLite replays and
 * removes the WAL of a database it opens, which would destroy evidence in a damaged one.
 *
 * It finds what a torn copy, a full disk or a wrong path leave behind (not a database, a file shorter
 * than its header says), in the time of a few small reads. It does not find a flipped bit.
 *
 * Layout: https://www.sqlite.org/fileformat2.html, sections 1.3 (header) and 4 (WAL).
 *
 * The caller holds the database's lock file and has no connection open: closing a descriptor of the
 * database would drop the POSIX locks of a connection in the same process.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { CollectiveError } from "../../protocol/errors.ts";

export interface DatabaseHeader {
  readonly applicationId: number;
  readonly userVersion: number;
}

const headerBytes = 100;
const walHeaderBytes = 32;
const walFrameHeaderBytes = 24;
const magic = Buffer.from("SQLite format 3\0", "latin1");

/** Throws `corrupt` with one line that says what is wrong. */
export function inspectDatabase(path: string): DatabaseHeader {
  const fd = openSync(path, "r");
  try {
    const fileBytes = fstatSync(fd).size;
    const header = Buffer.alloc(headerBytes);
    if (readSync(fd, header, 0, headerBytes, 0) < headerBytes) throw damaged(path, `it has ${fileBytes} bytes, too few for a database`);
    if (!header.subarray(0, magic.length).equals(magic)) throw damaged(path, "it is not a SQLite database");
    const declared = header.readUInt16BE(16);
    const pageBytes = declared === 1 ? 65_536 : declared;
    if (pageBytes < 512 || (pageBytes & (pageBytes - 1)) !== 0) throw damaged(path, `its header names a page size of ${pageBytes} bytes`);
    // The page count is only meant to be believed while these two counters agree.
    if (header.readUInt32BE(24) === header.readUInt32BE(92)) {
      checkLength(path, { fileBytes, pageBytes, pages: header.readUInt32BE(28) });
    }
    return { applicationId: header.readUInt32BE(68), userVersion: header.readUInt32BE(60) };
  } finally {
    closeSync(fd);
  }
}

/** After a crash in the middle of a checkpoint the file may be shorter than its header says: then the WAL still has the rest. */
function checkLength(path: string, have: { fileBytes: number; pageBytes: number; pages: number }): void {
  const wholePages = Math.floor(have.fileBytes / have.pageBytes);
  if (wholePages >= have.pages) return;
  const inWal = pagesInWal(`${path}-wal`, have.pageBytes);
  for (let page = wholePages + 1; page <= have.pages; page++) {
    if (!inWal.has(page)) throw damaged(path, `it is cut short: ${have.fileBytes} bytes of ${have.pages * have.pageBytes}`);
  }
}

function pagesInWal(walPath: string, pageBytes: number): ReadonlySet<number> {
  const pages = new Set<number>();
  if (!existsSync(walPath)) return pages;
  const fd = openSync(walPath, "r");
  try {
    const walHeader = Buffer.alloc(walHeaderBytes);
    if (readSync(fd, walHeader, 0, walHeaderBytes, 0) < walHeaderBytes || walHeader.readUInt32BE(8) !== pageBytes) return pages;
    const salts = walHeader.subarray(16, 24);
    const frameBytes = walFrameHeaderBytes + pageBytes;
    const end = fstatSync(fd).size;
    const frame = Buffer.alloc(walFrameHeaderBytes);
    for (let at = walHeaderBytes; at + frameBytes <= end; at += frameBytes) {
      readSync(fd, frame, 0, walFrameHeaderBytes, at);
      // Frames with other salts are left from before the WAL was last restarted.
      if (!frame.subarray(8, 16).equals(salts)) break;
      pages.add(frame.readUInt32BE(0));
    }
    return pages;
  } finally {
    closeSync(fd);
  }
}

export function damaged(path: string, why: string, cause?: unknown): CollectiveError {
  return new CollectiveError("corrupt", `the database ${path} is damaged: ${why}`, {
    hint: "keep a copy of it, put a backup in its place and start again",
    details: { path },
    cause,
  });
}
