/**
 * Every bound that two processes must agree on, with its unit in its name. Relations between them
 * are asserted at the end of this file, beside the numbers they hold between.
 */

export const kibibyte = 1024;
export const mebibyte = 1024 * kibibyte;
export const gibibyte = 1024 * mebibyte;

/** Names and paths. */
export const nameBytesMax = 255;
export const pathBytesMax = 4096;
export const pathComponentsMax = 256;
export const symlinkTargetBytesMax = 4095;

/** Extended attributes; the sum is of the names and values of one file, so that one answer brings them all. */
export const extendedAttributeNameBytesMax = 255;
export const extendedAttributeValueBytesMax = 64 * kibibyte;
export const extendedAttributesBytesMax = 256 * kibibyte;

/** Names of one file. Rights may rest on each, so all of them are looked at for whoever is not the administrator. */
export const linksMax = 4_096;

/** Open files, see src/meta/holds.ts. A session that is silent for longer than this holds nothing; clients speak three times as often. */
export const sessionSilentMsMax = 60_000;
export const sessionsPerCallerMax = 256;
export const heldInodesPerSessionMax = 65_536;
export const heldInodesPerCallMax = 1_000;

/** How long a client waits for news of changes before it asks again, and how much longer for the answer before it believes nothing any more. */
export const watchMs = 5_000;
export const watchGraceMs = 3_500;
/** How long somebody who looks at a file waits for another client to store what it has closed. */
export const recallMsMax = 2_000;
/** After a start of the coordinator nobody gets a new lock for so long: clients that had some claim them again. */
export const lockGraceMs = 3_000;
export const locksPerFileMax = 4_096;
export const lockedFilesPerSessionMax = 4_096;
/** In one answer. */
export const changesPerAnswerMax = 4_096;
export const recalledPerAnswerMax = 4_096;

/** Chunk sizes, in bytes of file content; see `chunkBytesFor` in src/codec/chunker.ts. */
export const smallChunkBytes = 64 * kibibyte;
export const mediumChunkBytes = 1 * mebibyte;
export const largeChunkBytes = 4 * mebibyte;

/** A stored chunk is a header, the payload and an authentication tag; zstd never makes it longer, see src/codec. */
export const chunkHeaderBytes = 48;
export const chunkOverheadBytesMax = chunkHeaderBytes + 16;
export const storedChunkBytesMax = largeChunkBytes + chunkOverheadBytesMax;

/** A stored chunk up to this size lives inside a node's SQLite, a larger one is a file of its own. */
export const inlineStoredBytesMax = smallChunkBytes + chunkOverheadBytesMax;

/** One ticket, one batch request to a node and one answer of `locate` each speak of at most this many chunks. */
export const chunksPerTicketMax = 128;
export const batchBytesMax = 8 * mebibyte;

/** Files in one commit and inodes in one listing page. */
export const filesPerCommitMax = 128;
export const extentsPerCommitMax = 65_536;
export const changesPerCommitMax = 4_096;
/** Extents that begin in one aligned part of a file as large as the largest chunk, where a commit changes that part. */
export const extentsPerWindowMax = 1_024;
export const directoryPageEntriesMax = 1_000;

/** Control messages. A commit of a very large file is the largest: 65,536 extents of about 90 bytes. */
export const controlBodyBytesMax = 16 * mebibyte;

/** A file's size is limited by the extents that one commit may carry. */
export const fileBytesMax = extentsPerCommitMax * largeChunkBytes;

export const ticketLifetimeMs = 15 * 60_000;
/** Of tickets for another member's nodes, which hear later of what was taken back. Clients ask again by themselves. */
export const guestTicketLifetimeMs = 60_000;
/** Clocks of honest machines may differ by this much; tickets are valid this much before and after. */
export const clockSkewMsMax = 5 * 60_000;
/**
 * An upload that has not been heard of for this long is over: garbage collection spares the chunks
 * it announced until then, and no longer. It outlives every ticket issued on its behalf.
 */
export const uploadIdleMsMax = 30 * 60_000;

/** A certificate that has expired may still ask for its own renewal for this long. */
export const renewableAfterExpiryMs = 90 * 24 * 60 * 60_000;

/** Sites that one member may trust. */
export const trustedSitesMax = 10_000;
/** Other members whose chunks one node keeps. */
export const guestsPerNodeMax = 64;

/** Withdrawals of one issuer in a heartbeat's answer; beyond, all its tickets are withdrawn. */
export const withdrawalsMax = 10_000;
/** Records of the audit trail in one answer. */
export const auditPageEntriesMax = 1_000;

export const heartbeatIntervalMs = 1_000;
export const nodeSuspectAfterMs = 4_000;
export const nodeDeadAfterMs = 12_000;

export const replicasMax = 16;

/** How long a coordinator knows a change that it has made when it is asked for it again; a client asks for some seconds. */
export const requestRememberedMs = 10 * 60_000;

/** How long a client waits for one answer before it calls the other side unavailable. */
export const controlTimeoutMs = 30_000;
export const dataTimeoutMs = 60_000;
/** The same for what is sent to a node: until it is on the disk, over a line of 100 KB/s. */
export function storeTimeoutMs(bytes: number): number {
  return Math.min(dataTimeoutMs, 15_000 + bytes / 100);
}

function relation(holds: boolean, text: string): void {
  if (!holds) throw new Error(`limits contradict each other: ${text}`);
}
relation(watchMs + watchGraceMs < controlTimeoutMs, "whoever watches hears of a connection that leads nowhere before others do");
relation(uploadIdleMsMax >= ticketLifetimeMs + 2 * clockSkewMsMax, "garbage collection spares what a ticket may still write");
relation(batchBytesMax >= storedChunkBytesMax, "every chunk fits a batch");
relation(nodeDeadAfterMs > nodeSuspectAfterMs && nodeSuspectAfterMs > 2 * heartbeatIntervalMs, "suspect before dead");
