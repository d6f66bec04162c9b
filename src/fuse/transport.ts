/**
 * Brings requests from the device to the session. The thread that serves reads until there is nothing more and goes on with its other
 * work; a second thread waits in poll(2) meanwhile and wakes it (`Waiter`).
 *
 * A program that waits for each answer before it asks again would pay for that wake-up each time. So this side looks out for the next
 * request for a moment first, while no answer is under way that needs the event loop, and for as long as experience says that it pays.
 */
import { constants } from "node:os";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Clock } from "../core/clock.ts";
import { errnoName } from "./errno.ts";
import type { Device } from "./linux.ts";
import { requestBufferBytes } from "./protocol.ts";
import { createRequestBuffer, type RequestBuffer } from "./request.ts";
import type { Session } from "./session.ts";

/** Wakes whoever armed it once, when there is something to read. */
export interface Waiter {
  arm(): void;
}

export interface TransportOptions {
  readonly device: Device;
  readonly session: Session;
  readonly clock: Clock;
  readonly waiter: Waiter;
}

export interface Transport {
  /** To be called when the waiter wakes, and once to begin. */
  readable(): void;
  /** Resolves when it is unmounted, rejects when the device fails. */
  readonly ended: Promise<void>;
}

/** The rest of the program gets its turn after this long at most. */
const sliceMs = 5;
const lookOutMs = 0.05;
/** Buffers that were lent to writes under way and came back; more are let go. */
const spareBuffersMax = 8;

export function createTransport({ device, session, clock, waiter }: TransportOptions): Transport {
  const ended = Promise.withResolvers<void>();
  const spare: RequestBuffer[] = [];
  const experience = createExperience();
  let buffer = createRequestBuffer(requestBufferBytes);
  /** A turn is running, or will: there is no need to be woken. */
  let awake = false;
  let isOver = false;

  const end = (error: number): void => {
    isOver = true;
    session.end();
    if (error === constants.errno.ENODEV) ended.resolve();
    else ended.reject(new CollectiveError("unavailable", `/dev/fuse cannot be read: ${errnoName(error)}`));
  };

  const pass = (receivedBytes: number): void => {
    const lent = buffer;
    const returned = session.handle(lent, receivedBytes);
    if (returned === undefined) return;
    buffer = spare.pop() ?? createRequestBuffer(requestBufferBytes);
    void returned.then(() => {
      if (spare.length < spareBuffersMax) spare.push(lent);
    });
  };

  /** Answers whether another turn is due, without being woken. */
  const turn = (): boolean => {
    const startedAtMs = clock.monotonicMs();
    let idleSinceMs: number | undefined;
    let passed = 0;
    for (;;) {
      const received = device.read(buffer.bytes);
      if (received > 0) {
        if (idleSinceMs !== undefined) experience.paid();
        idleSinceMs = undefined;
        passed += 1;
        pass(received);
        if (clock.monotonicMs() - startedAtMs > sliceMs) return true;
        continue;
      }
      // One that was aborted before it was read is gone, and the next may be there.
      if (received === -constants.errno.EINTR || received === -constants.errno.ENOENT) continue;
      if (received !== -constants.errno.EAGAIN) {
        end(received === 0 ? constants.errno.ENODEV : -received);
        return false;
      }
      // Answers that only wait for their turn in the event loop get it first.
      if (session.pendingCount() > 0) return passed > 0;
      const nowMs = clock.monotonicMs();
      if (idleSinceMs === undefined && !experience.isWorthwhile()) return false;
      idleSinceMs ??= nowMs;
      if (nowMs - idleSinceMs < lookOutMs) continue;
      experience.wasted();
      return false;
    }
  };

  const serve = (): void => {
    if (isOver) return;
    awake = true;
    if (turn()) {
      setImmediate(serve);
      return;
    }
    awake = false;
    if (!isOver) waiter.arm();
  };

  return {
    ended: ended.promise,
    readable: () => {
      if (!awake) serve();
    },
  };
}

interface Experience {
  isWorthwhile(): boolean;
  paid(): void;
  wasted(): void;
}

const creditMax = 16;
/** Without credit it is tried again this often, to notice that the load has changed. */
const trialEvery = 16;

/** Looking out costs a core as much as working does: it has to have paid lately. */
function createExperience(): Experience {
  let credit = creditMax;
  let untried = 0;
  return {
    isWorthwhile: () => {
      if (credit > 0) return true;
      untried += 1;
      return untried % trialEvery === 0;
    },
    paid: () => {
      credit = Math.min(creditMax, credit + 2);
    },
    wasted: () => {
      credit = Math.max(0, credit - 1);
    },
  };
}
