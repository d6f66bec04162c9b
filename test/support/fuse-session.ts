/** A session without a kernel: requests are written here, and what is answered is read back. */

import type { Clock } from "../../src/core/clock.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { fuse_in_header, fuse_opcode, fuse_out_header, requestBufferBytes } from "../../src/fuse/protocol.ts";
import { createRequestBuffer } from "../../src/fuse/request.ts";
import { createSession, type Session } from "../../src/fuse/session.ts";
import { noStatistics } from "../../src/fuse/statistics.ts";
import type { FileSystem } from "../../src/vfs/file-system.ts";

export interface FuseAnswer {
  readonly unique: number;
  /** Positive, 0 for success. */
  readonly errno: number;
  readonly body: Buffer;
}

export interface FuseBench {
  readonly session: Session;
  readonly answers: FuseAnswer[];
  /** The errno with which the device refuses what is answered next. */
  refuseWith(errno: number): void;
  /** Gives one message over as it stands. */
  pass(message: Uint8Array): Promise<void> | undefined;
  /** Asks, and answers what came back by then. */
  ask(opcode: number, nodeid: number, body?: Uint8Array): FuseAnswer | undefined;
  /** Of the request that was asked last. */
  lastUnique(): number;
}

export function message(
  opcode: number,
  { unique, nodeid, uid = 0, gid = 0 }: { unique: number; nodeid: number; uid?: number; gid?: number },
  body: Uint8Array = new Uint8Array(),
): Buffer {
  const bytes = Buffer.alloc(fuse_in_header.size + body.length);
  bytes.writeUInt32LE(bytes.length, fuse_in_header.len);
  bytes.writeUInt32LE(opcode, fuse_in_header.opcode);
  bytes.writeBigUInt64LE(BigInt(unique), fuse_in_header.unique);
  bytes.writeBigUInt64LE(BigInt(nodeid), fuse_in_header.nodeid);
  bytes.writeUInt32LE(uid, fuse_in_header.uid);
  bytes.writeUInt32LE(gid, fuse_in_header.gid);
  bytes.set(body, fuse_in_header.size);
  return bytes;
}

/** Numbers of 4 and, as bigints, 8 bytes, then texts that end with NUL or bytes as they are. */
export function fields(...parts: readonly (number | bigint | string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === "string") return Buffer.from(`${part}\0`);
      if (part instanceof Uint8Array) return part;
      const bytes = Buffer.alloc(typeof part === "bigint" ? 8 : 4);
      if (typeof part === "bigint") bytes.writeBigUInt64LE(part);
      else bytes.writeUInt32LE(part);
      return bytes;
    }),
  );
}

export const initBody = (major = 7, minor = 45): Buffer => fields(major, minor, 131_072, 0xffff_ffff, 0, Buffer.alloc(44));

export function createFuseBench(
  fs: FileSystem,
  options: { readonly clock?: Clock; readonly timeLimitMs?: number; readonly trace?: (line: string) => void } = {},
): FuseBench {
  const answers: FuseAnswer[] = [];
  let refusal = 0;
  const session = createSession({
    fs,
    clock: options.clock ?? systemClock,
    log: silentLog,
    statistics: noStatistics,
    timeLimitMs: options.timeLimitMs ?? 10_000,
    trace: options.trace,
    caches: {
      dropAttributes: async () => undefined,
      dropData: async () => undefined,
      dropName: async () => undefined,
      dropFile: async () => true,
    },
    isOwn: () => false,
    device: {
      read: () => 0,
      write: (head, headBytes, pieces) => {
        const bytes = Buffer.concat([head.subarray(0, headBytes), ...pieces]);
        const errno = Math.abs(bytes.readInt32LE(fuse_out_header.error));
        const refused = errno === 0 ? refusal : 0;
        if (errno === 0) refusal = 0;
        if (refused !== 0) return refused;
        if (bytes.readUInt32LE(fuse_out_header.len) !== bytes.length || (errno !== 0 && bytes.length !== fuse_out_header.size)) {
          throw new Error("the kernel would refuse this answer");
        }
        answers.push({ unique: Number(bytes.readBigUInt64LE(fuse_out_header.unique)), errno, body: bytes.subarray(fuse_out_header.size) });
        return 0;
      },
    },
  });
  const buffer = createRequestBuffer(requestBufferBytes);
  let unique = 0;
  const bench: FuseBench = {
    session,
    answers,
    refuseWith: (errno) => {
      refusal = errno;
    },
    pass: (bytes) => {
      buffer.bytes.set(bytes);
      return session.handle(buffer, bytes.length);
    },
    ask: (opcode, nodeid, body) => {
      unique += 2;
      bench.pass(message(opcode, { unique, nodeid }, body));
      return answers.findLast((answer) => answer.unique === unique);
    },
    lastUnique: () => unique,
  };
  bench.ask(fuse_opcode.FUSE_INIT, 0, initBody());
  return bench;
}
