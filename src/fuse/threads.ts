/**
 * The two helper threads of a mount: one waits until the device is readable, one makes calls that the kernel may answer late, and
 * only after this mount has answered something itself. The thread that serves can do neither without stopping the mount.
 *
 * A thread runs the program's own entry point, for that is the one file that is at hand both in the executable and from source; an
 * entry point has to begin with `serveThread` where it is not the main thread.
 */
import { constants } from "node:os";
import { parentPort, Worker, workerData } from "node:worker_threads";
import { CollectiveError } from "../../protocol/errors.ts";
import { type FileState, type StateDevice, stateBlocking, threadId, unmountBlocking, waitUntilReadable, writeBlocking } from "./linux.ts";
import type { Waiter } from "./transport.ts";

type Task = { readonly task: "wait"; readonly descriptor: number; readonly state: SharedArrayBuffer } | { readonly task: "calls" };

type BlockingCall =
  | { readonly call: "write"; readonly descriptor: number; readonly bytes: Uint8Array }
  | ({ readonly call: "state" } & FileState & StateDevice)
  | { readonly call: "unmount"; readonly mountPoint: string; readonly lazy: boolean };

/** States of the waiting thread. */
const idle = 0;
const armed = 1;
const stopped = 2;

/** A stop is noticed after this long at most, for nothing ends a poll(2) from outside. */
const pollMs = 1_000;

export interface ThreadEvents {
  /** The thread is gone, and with it the mount's way to hear anything. */
  readonly onFailure: (error: CollectiveError) => void;
}

export interface WaitingThread extends Waiter {
  stop(): Promise<void>;
}

export function startWaiting(descriptor: number, events: ThreadEvents & { readonly onReadable: () => void }): WaitingThread {
  const state = new SharedArrayBuffer(4);
  const shared = new Int32Array(state);
  const worker = startThread({ task: "wait", descriptor, state }, events);
  worker.on("message", events.onReadable);
  return {
    arm: () => {
      if (Atomics.compareExchange(shared, 0, idle, armed) === idle) Atomics.notify(shared, 0);
    },
    stop: async () => {
      Atomics.store(shared, 0, stopped);
      Atomics.notify(shared, 0);
      await worker.ended;
    },
  };
}

export interface CallingThread {
  /** By which its requests are known; 0 until it has started. */
  readonly id: number;
  readonly started: Promise<void>;
  /** Each answers 0 or an errno. They are made one after the other. */
  write(descriptor: number, bytes: Uint8Array): Promise<number>;
  /** Of a file of this mount, which answers to it with what is true. */
  state(file: FileState & StateDevice): Promise<number>;
  unmount(mountPoint: string, lazy: boolean): Promise<number>;
  stop(): Promise<void>;
}

export function startCalling(events: ThreadEvents): CallingThread {
  const waiting: ((errno: number) => void)[] = [];
  const worker = startThread({ task: "calls" }, events);
  let isGone = false;
  let id = 0;
  const started = Promise.withResolvers<void>();
  worker.on("message", (said: { readonly id: number } | number) => {
    if (typeof said === "number") waiting.shift()?.(said);
    else {
      id = said.id;
      started.resolve();
    }
  });
  worker.on("exit", () => {
    isGone = true;
    started.resolve();
    for (const resolve of waiting.splice(0)) resolve(constants.errno.EIO);
  });
  const ask = (call: BlockingCall): Promise<number> =>
    new Promise((resolve) => {
      if (isGone) return resolve(constants.errno.EIO);
      waiting.push(resolve);
      worker.postMessage(call);
    });
  return {
    get id() {
      return id;
    },
    started: started.promise,
    write: (descriptor, bytes) => ask({ call: "write", descriptor, bytes }),
    state: (file) => ask({ call: "state", ...file }),
    unmount: (mountPoint, lazy) => ask({ call: "unmount", mountPoint, lazy }),
    stop: async () => {
      worker.postMessage(undefined);
      await worker.ended;
    },
  };
}

function startThread(task: Task, { onFailure }: ThreadEvents): Worker & { readonly ended: Promise<void> } {
  const worker = new Worker(Bun.main, { workerData: task });
  const ended = new Promise<void>((resolve) => worker.on("exit", () => resolve()));
  worker.on("error", (thrown: Error) => {
    onFailure(new CollectiveError("internal", `a helper thread of the mount failed: ${thrown.message}`, { cause: thrown }));
  });
  return Object.assign(worker, { ended });
}

/** What a thread of this program does instead of the program. */
export function serveThread(): void {
  const task = workerData as Task;
  if (task.task === "wait") waitLoop(task.descriptor, new Int32Array(task.state));
  else {
    parentPort?.on("message", callOnce);
    parentPort?.postMessage({ id: threadId() });
  }
}

function waitLoop(descriptor: number, state: Int32Array): void {
  for (;;) {
    Atomics.wait(state, 0, idle);
    if (Atomics.load(state, 0) === stopped) break;
    if (!waitUntilReadable(descriptor, pollMs)) continue;
    if (Atomics.compareExchange(state, 0, armed, idle) === armed) parentPort?.postMessage(undefined);
  }
  parentPort?.close();
}

function callOnce(call: BlockingCall | undefined): void {
  if (call === undefined) {
    parentPort?.close();
    return;
  }
  parentPort?.postMessage(answerTo(call));
}

function answerTo(call: BlockingCall): number {
  switch (call.call) {
    case "write":
      return writeBlocking(call.descriptor, call.bytes);
    case "state":
      return stateBlocking(call);
    case "unmount":
      return unmountBlocking(call.mountPoint, call.lazy);
  }
}
