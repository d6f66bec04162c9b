/**
 * One mount's conversation with the kernel: each request is asked of the file system, and answered exactly once.
 *
 * - What answers at once is answered within `handle`. What does not is pending: it ends by itself, is interrupted, or gets nowhere for
 *   as long as the time limit, so that no program waits longer than that for anything but a lock.
 * - An interrupted request may still end as it likes for `interruptGraceMs`; then it is EINTR, or a killed program would stay.
 * - An answer that comes later than that, or that the kernel no longer wants, is undone (`Reply.lost`).
 * - The kernel's count of each number is kept here; the file system hears `forget` when it is zero.
 */
import { constants } from "node:os";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { FileSystem, KernelCaches } from "../vfs/file-system.ts";
import { callOf, type RequestCall } from "./call.ts";
import { errnoName, errnoOf } from "./errno.ts";
import { fileOperations } from "./file-operations.ts";
import { agree, writeAgreement } from "./init.ts";
import { createKnownNodes } from "./known-nodes.ts";
import type { Device } from "./linux.ts";
import { nameOperations } from "./name-operations.ts";
import { attributesReply, type Operation, type Reply, then } from "./operation.ts";
import { fuse_batch_forget_in, fuse_forget_in, fuse_forget_one, fuse_interrupt_in, fuse_opcode } from "./protocol.ts";
import { createReplyWriter } from "./reply.ts";
import { type Request, type RequestBuffer, readRequest } from "./request.ts";
import type { Statistics } from "./statistics.ts";
import { describeRequest } from "./trace.ts";

const operations: ReadonlyMap<number, Operation> = new Map([...nameOperations, ...fileOperations]);

/** To a thread of this process that sets a file to what it is. */
const currentState: Operation = {
  name: "setattr",
  run: ({ fs, call, request }) => then(fs.getAttributes(call, request.nodeid), attributesReply),
};

/** After being interrupted, how long a call may take to end in its own way. */
const interruptGraceMs = 500;
/** How often the pending ones are looked at. */
const sweepMs = 100;

export interface SessionOptions {
  readonly fs: FileSystem;
  readonly device: Device;
  readonly caches: KernelCaches;
  readonly clock: Clock;
  readonly log: Log;
  readonly statistics: Statistics;
  /** The thread that tells the kernel how a file is by setting it so (notifications.ts). */
  readonly isOwn: (thread: number) => boolean;
  readonly timeLimitMs: number;
  /** A line for each request. */
  readonly trace?: ((line: string) => void) | undefined;
}

export interface Session {
  /** Resolves when the kernel and this side have agreed; rejects with `unsupported`. */
  readonly agreed: Promise<void>;
  /** Requests that the file system is still busy with. */
  pendingCount(): number;
  /** Never throws. The buffer may be used again when it returns, or when the promise that it returned settles. */
  handle(buffer: RequestBuffer, receivedBytes: number): Promise<void> | undefined;
  /** Nobody will be answered any more: whatever is pending is told so. */
  end(): void;
}

interface Pending {
  readonly request: Heading;
  readonly operation: Operation;
  readonly call: RequestCall;
  endsAtMs: number;
  wasInterrupted: boolean;
  answered: boolean;
}

/** Of a request, what is needed when its buffer is another's. */
interface Heading {
  readonly unique: number;
  readonly startedAtMs: number;
  readonly shown: string;
}

export function createSession(options: SessionOptions): Session {
  const { fs, device, clock, log, statistics, trace } = options;
  const nodes = createKnownNodes((inode) => {
    try {
      fs.forget(inode);
    } catch (thrown) {
      log.error("forget_failed", { inode, error: toCollectiveError(thrown).message });
    }
  });
  const out = createReplyWriter();
  const pending = new Map<number, Pending>();
  const agreed = Promise.withResolvers<void>();
  agreed.promise.catch(() => undefined);
  let sweep: Disposable | undefined;

  const note = (name: string, heading: Heading, error: number): void => {
    const tookMs = clock.monotonicMs() - heading.startedAtMs;
    statistics.observe(name, error === 0 ? "ok" : errnoName(error), tookMs / 1000);
    trace?.(`#${heading.unique} ${name} ${heading.shown}: ${error === 0 ? "ok" : errnoName(error)} ${tookMs.toFixed(3)} ms`);
  };

  const sendError = (unique: number, error: number): void => {
    out.begin();
    out.finish(unique, error);
    device.write(out.memory, out.copiedBytes, out.pieces);
  };

  const fail = (name: string, heading: Heading, thrown: unknown): void => {
    const error = toCollectiveError(thrown);
    if (error.code === "internal") log.error("request_failed", { operation: name, error: error.message, stack: error.stack });
    const number = errnoOf(error.code);
    sendError(heading.unique, number);
    note(name, heading, number);
  };

  const answer = (name: string, heading: Heading, reply: Reply): void => {
    try {
      out.begin();
      reply.write?.(out);
      out.finish(heading.unique, 0);
    } catch (thrown) {
      reply.lost?.();
      fail(name, heading, thrown);
      return;
    }
    const error = device.write(out.memory, out.copiedBytes, out.pieces);
    if (error === 0) {
      reply.taken?.();
      note(name, heading, 0);
      return;
    }
    reply.lost?.();
    // ENOENT: the asker was killed and nobody waits. ENODEV: it is unmounted. Anything else leaves the asker without an answer.
    const isOver = error === constants.errno.ENOENT || error === constants.errno.ENODEV;
    if (isOver) note(name, heading, error);
    else fail(name, heading, new CollectiveError("internal", `the kernel refuses the answer: ${errnoName(error)}`));
  };

  const begin = (request: Request, operation: Operation): Promise<void> | undefined => {
    const heading = { unique: request.unique, startedAtMs: clock.monotonicMs(), shown: trace ? describeRequest(request) : "" };
    try {
      const call = callOf(request);
      const result = operation.run({ fs, nodes, call, request });
      if (result instanceof Promise) return wait(heading, { operation, call }, result);
      answer(operation.name, heading, result);
    } catch (thrown) {
      fail(operation.name, heading, thrown);
    }
    return undefined;
  };

  const wait = (
    request: Heading,
    { operation, call }: { readonly operation: Operation; readonly call: RequestCall },
    result: Promise<Reply>,
  ): Promise<void> | undefined => {
    const one: Pending = {
      request,
      operation,
      call,
      endsAtMs: operation.waits ? Number.POSITIVE_INFINITY : request.startedAtMs + options.timeLimitMs,
      wasInterrupted: false,
      answered: false,
    };
    pending.set(request.unique, one);
    sweep ??= clock.every(sweepMs, endOverdue);
    const settled = result.then(
      (reply) => {
        if (settle(one)) answer(operation.name, request, reply);
        else reply.lost?.();
      },
      (thrown) => {
        if (settle(one)) fail(operation.name, request, thrown);
      },
    );
    return operation.holdsBuffer ? settled : undefined;
  };

  /** False when it was answered before. */
  const settle = (one: Pending): boolean => {
    if (one.answered) return false;
    one.answered = true;
    if (pending.get(one.request.unique) === one) pending.delete(one.request.unique);
    return true;
  };

  const endOverdue = (): void => {
    const nowMs = clock.monotonicMs();
    for (const one of pending.values()) {
      if (one.call.takeProgress() && !one.wasInterrupted) one.endsAtMs = Math.max(one.endsAtMs, nowMs + options.timeLimitMs);
    }
    for (const one of [...pending.values()].filter(({ endsAtMs }) => endsAtMs <= nowMs)) {
      const error = one.wasInterrupted ? interrupted() : new CollectiveError("timed_out", "no answer in time");
      one.call.abort(error);
      if (settle(one)) fail(one.operation.name, one.request, error);
    }
    if (pending.size > 0) return;
    sweep?.[Symbol.dispose]();
    sweep = undefined;
  };

  const interrupt = (request: Request): void => {
    const one = pending.get(request.u64(fuse_interrupt_in.unique));
    if (one === undefined) return;
    one.wasInterrupted = true;
    one.endsAtMs = Math.min(one.endsAtMs, clock.monotonicMs() + interruptGraceMs);
    one.call.abort(interrupted());
  };

  const forgetBatch = (request: Request): void => {
    const count = request.u32(fuse_batch_forget_in.count);
    request.require(fuse_batch_forget_in.size + count * fuse_forget_one.size);
    for (let index = 0; index < count; index++) {
      const at = fuse_batch_forget_in.size + index * fuse_forget_one.size;
      nodes.forget(request.u64(at + fuse_forget_one.nodeid), request.u64(at + fuse_forget_one.nlookup));
    }
  };

  const initialise = (request: Request): void => {
    try {
      const agreement = agree(request, fs.traits);
      if (agreement !== "again") fs.attach(options.caches);
      out.begin();
      writeAgreement(out, agreement);
      out.finish(request.unique, 0);
      device.write(out.memory, out.copiedBytes, out.pieces);
      if (agreement !== "again") agreed.resolve();
    } catch (thrown) {
      sendError(request.unique, constants.errno.EPROTO);
      agreed.reject(toCollectiveError(thrown));
    }
  };

  const listen = (request: Request, handle: (request: Request) => void): void => {
    try {
      handle(request);
    } catch (thrown) {
      log.error("request_failed", { opcode: request.opcode, error: toCollectiveError(thrown).message });
    }
  };

  /** These have no answer, or one of their own. */
  const special: ReadonlyMap<number, (request: Request) => void> = new Map([
    [fuse_opcode.FUSE_INIT, initialise],
    [fuse_opcode.FUSE_FORGET, (request) => nodes.forget(request.nodeid, request.u64(fuse_forget_in.nlookup))],
    [fuse_opcode.FUSE_BATCH_FORGET, forgetBatch],
    [fuse_opcode.FUSE_INTERRUPT, interrupt],
    [fuse_opcode.FUSE_DESTROY, (request) => sendError(request.unique, 0)],
  ]);

  return {
    agreed: agreed.promise,
    pendingCount: () => pending.size,
    handle: (buffer, receivedBytes) => {
      const request = readRequest(buffer, receivedBytes);
      if (request === undefined) {
        log.error("request_unreadable", { bytes: receivedBytes });
        return undefined;
      }
      const isTelling = request.opcode === fuse_opcode.FUSE_SETATTR && options.isOwn(request.pid);
      const operation = isTelling ? currentState : operations.get(request.opcode);
      if (operation) return begin(request, operation);
      const handle = special.get(request.opcode);
      if (handle === undefined) sendError(request.unique, errnoOf("not_implemented"));
      else listen(request, handle);
      return undefined;
    },
    end: () => {
      const error = new CollectiveError("cancelled", "unmounted");
      for (const one of pending.values()) {
        one.answered = true;
        one.call.abort(error);
      }
      pending.clear();
      sweep?.[Symbol.dispose]();
      agreed.reject(error);
    },
  };
}

function interrupted(): CollectiveError {
  return new CollectiveError("cancelled", "interrupted");
}
