/**
 * One message of the kernel, read in place. Nothing outside it is ever read, whatever its fields say: what does not
 * fit is `invalid_argument`. It is good only until the buffer it lies in is used again.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { fuse_in_header } from "./protocol.ts";

const twoTo32 = 2 ** 32;

export interface RequestBuffer {
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** Outside of any pool, for its address is given to the kernel. */
export function createRequestBuffer(sizeBytes: number): RequestBuffer {
  const memory = new ArrayBuffer(sizeBytes);
  return { bytes: Buffer.from(memory), view: new DataView(memory) };
}

export interface Request {
  readonly opcode: number;
  /** Names the request in its answer and when it is interrupted. */
  readonly unique: number;
  readonly nodeid: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Of what follows the header. Offsets below count from there. */
  readonly bodyBytes: number;
  /** Has every caller say what it is about to read: a structure of this size. */
  require(sizeBytes: number): void;
  u32(offset: number): number;
  /** Above 2^53 it is rounded, which no number that was answered ever is. */
  u64(offset: number): number;
  u64Exact(offset: number): bigint;
  i64Exact(offset: number): bigint;
  bytes(offset: number, length: number): Buffer;
  /** A text that ends with NUL. */
  text(offset: number): string;
  /** Just behind the text that begins there. */
  afterText(offset: number): number;
}

/** Undefined when not even the header is whole: then there is nobody to answer to. */
export function readRequest(buffer: RequestBuffer, receivedBytes: number): Request | undefined {
  if (receivedBytes < fuse_in_header.size || receivedBytes > buffer.bytes.length) return undefined;
  if (buffer.view.getUint32(fuse_in_header.len, true) !== receivedBytes) return undefined;
  return new MessageInPlace(buffer, receivedBytes);
}

class MessageInPlace implements Request {
  readonly opcode: number;
  readonly unique: number;
  readonly nodeid: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly bodyBytes: number;
  readonly #buffer: RequestBuffer;
  readonly #end: number;

  constructor(buffer: RequestBuffer, end: number) {
    const { view } = buffer;
    this.#buffer = buffer;
    this.#end = end;
    this.opcode = view.getUint32(fuse_in_header.opcode, true);
    this.unique = this.#u64At(fuse_in_header.unique);
    this.nodeid = this.#u64At(fuse_in_header.nodeid);
    this.uid = view.getUint32(fuse_in_header.uid, true);
    this.gid = view.getUint32(fuse_in_header.gid, true);
    this.pid = view.getUint32(fuse_in_header.pid, true);
    this.bodyBytes = end - fuse_in_header.size;
  }

  require(sizeBytes: number): void {
    if (sizeBytes > this.bodyBytes) throw malformed(`it has ${this.bodyBytes} bytes and lacks ${sizeBytes - this.bodyBytes}`);
  }

  u32(offset: number): number {
    return this.#buffer.view.getUint32(this.#place(offset, 4), true);
  }

  u64(offset: number): number {
    return this.#u64At(this.#place(offset, 8));
  }

  u64Exact(offset: number): bigint {
    return this.#buffer.view.getBigUint64(this.#place(offset, 8), true);
  }

  i64Exact(offset: number): bigint {
    return this.#buffer.view.getBigInt64(this.#place(offset, 8), true);
  }

  bytes(offset: number, length: number): Buffer {
    const start = this.#place(offset, length);
    return this.#buffer.bytes.subarray(start, start + length);
  }

  text(offset: number): string {
    const start = this.#place(offset, 1);
    const end = this.#endOfText(start);
    const text = this.#buffer.bytes.toString("utf8", start, end);
    // Bytes that are no UTF-8 decode to this character, and would name another file.
    if (text.includes("\ufffd") && !Buffer.from(text).equals(this.#buffer.bytes.subarray(start, end))) {
      throw new CollectiveError("invalid_name", "a name is not UTF-8", { hint: "rename it: only names in UTF-8 can be stored" });
    }
    return text;
  }

  afterText(offset: number): number {
    return this.#endOfText(this.#place(offset, 1)) + 1 - fuse_in_header.size;
  }

  #endOfText(start: number): number {
    const end = this.#buffer.bytes.indexOf(0, start);
    if (end === -1 || end >= this.#end) throw malformed("a text in it has no end");
    return end;
  }

  #u64At(place: number): number {
    return this.#buffer.view.getUint32(place, true) + this.#buffer.view.getUint32(place + 4, true) * twoTo32;
  }

  #place(offset: number, length: number): number {
    if (offset + length > this.bodyBytes) throw malformed(`it ends at ${this.bodyBytes}, before ${offset + length}`);
    return fuse_in_header.size + offset;
  }
}

function malformed(reason: string): CollectiveError {
  return new CollectiveError("invalid_argument", `a request of the kernel is malformed: ${reason}`);
}
