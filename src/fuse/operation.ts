/**
 * What one request of the kernel asks of the file system. An operation reads the request while its buffer is good, asks, and makes a
 * reply that owns all it needs: by then the buffer may hold another request.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { nameBytesMax } from "../../protocol/limits.ts";
import type { Answer, AttributesReply, Call, EntryReply, FileSystem, NoEntry, OpenFile, Place } from "../vfs/file-system.ts";
import { type ReplyWriter, writeAttributes, writeEntry, writeNoEntry } from "./reply.ts";
import type { Request } from "./request.ts";

/** The numbers that the kernel knows, counted as it counts them. */
export interface KnownNodes {
  /** Once for every entry that the kernel has taken. */
  remember(inode: number): void;
  /** An entry was answered and not taken: the file system may forget it, unless the kernel knows it otherwise. */
  dismiss(inode: number): void;
}

export interface Reply {
  write?(out: ReplyWriter): void;
  /** The kernel has it. */
  taken?(): void;
  /** Nobody waits for it any more. */
  lost?(): void;
}

export interface Context {
  readonly fs: FileSystem;
  readonly nodes: KnownNodes;
  readonly call: Call;
  readonly request: Request;
}

export interface Operation {
  readonly name: string;
  readonly run: (context: Context) => Answer<Reply>;
  /** What is written lies in the request's buffer until the answer. */
  readonly holdsBuffer?: true;
  /** It waits for somebody else for as long as it takes. */
  readonly waits?: true;
}

export type OperationTable = readonly (readonly [opcode: number, operation: Operation])[];

export function then<T>(answer: Answer<T>, make: (value: T) => Reply): Answer<Reply> {
  return answer instanceof Promise ? answer.then(make) : make(answer);
}

const done: Reply = {};

export const nothing = (): Reply => done;

export function place({ request }: Context, nameAt: number): Place {
  return { parent: request.nodeid, name: nameOf(request, nameAt) };
}

/** The kernel lets longer ones pass. */
export function nameOf(request: Request, at: number): string {
  if (request.afterText(at) - at - 1 > nameBytesMax) throw new CollectiveError("name_too_long", `a name has at most ${nameBytesMax} bytes`);
  return request.text(at);
}

export function opened({ request }: Context, handleAt: number): OpenFile {
  return { inode: request.nodeid, handle: request.u64(handleAt) };
}

export function attributesReply(reply: AttributesReply): Reply {
  return { write: (out) => writeAttributes(out, reply) };
}

export function entryReply({ nodes }: Context, entry: EntryReply | NoEntry): Reply {
  if (entry.attributes === undefined) return { write: (out) => writeNoEntry(out, entry.nameValidMs) };
  const { inode } = entry.attributes;
  return { write: (out) => writeEntry(out, entry), taken: () => nodes.remember(inode), lost: () => nodes.dismiss(inode) };
}

/** Whoever asked is gone, so nobody is left to hear of a failure. */
export function giveUp(release: () => Answer<void>): void {
  new Promise<void>((resolve) => resolve(release())).catch(() => undefined);
}
