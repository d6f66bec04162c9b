/**
 * A file system at a place: mounts it, serves it until it is unmounted by whomever, and leaves no dead mount point behind.
 *
 * Whoever calls `mount` is served by the same thread, so it must not touch the mount by a synchronous call, ever.
 */
import { realpath, stat, statfs } from "node:fs/promises";
import { constants } from "node:os";
import { join, resolve } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Answer, FileSystem } from "../vfs/file-system.ts";
import { errnoName } from "./errno.ts";
import {
  deviceNumber,
  type FileState,
  fileSystemType,
  isSupported,
  type LinuxDevice,
  type MountEntry,
  type MountRequest,
  mountByHelper,
  mountDirectly,
  mountHelper,
  openDevice,
  readMounts,
  setReadAhead,
  unmountBlocking,
  unmountByHelper,
} from "./linux.ts";
import { createKernelCaches } from "./notifications.ts";
import { createSession } from "./session.ts";
import type { Statistics } from "./statistics.ts";
import { type CallingThread, startCalling, startWaiting } from "./threads.ts";
import { createTransport } from "./transport.ts";

export interface MountOptions extends MountRequest {
  /** For each operation but waiting for a lock. */
  readonly timeLimitMs: number;
  /** How far the kernel reads ahead; only root may say so. */
  readonly readAheadKibibytes?: number | undefined;
}

export interface MountDeps {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly log: Log;
  readonly statistics: Statistics;
  readonly trace?: ((line: string) => void) | undefined;
}

export interface Mount {
  /** Without links in it. */
  readonly mountPoint: string;
  /** Resolves when nothing is served any more, rejects when it failed; the mount point is free then. */
  readonly ended: Promise<void>;
  /** `conflict` while something is open there, unless it is lazy: then the place is free at once, and what is open is served on. */
  unmount(options: { readonly lazy: boolean }): Promise<void>;
  /** Unmounts, if need be lazily, and ends. What is still open after `graceMs` is cut off. */
  stop(options: { readonly graceMs: number }): Promise<void>;
}

const helperHint = "install fuse3, or run this as root";

export async function mount(options: MountOptions, deps: MountDeps): Promise<Mount> {
  const { clock, log } = deps;
  if (!isSupported) throw new CollectiveError("unsupported", "mounting is for Linux", { hint: "use the command line here" });
  await clearDeadMount(options.mountPoint, log);
  const request = { ...options, mountPoint: await directoryAt(options.mountPoint) };
  const { mountPoint } = request;

  const device = await mountDevice(request);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const onFailure = (error: CollectiveError): void => failed.reject(error);
  const calls = startCalling({ onFailure });
  let isOver = false;
  let own: MountEntry | undefined;
  /** A thread of its own: it waits for whatever holds the file, and notifications must not wait for it. Started when it is first needed. */
  let setting: CallingThread | undefined;
  const setState = async (file: FileState): Promise<number> => {
    if (!own || isOver) return constants.errno.EAGAIN;
    setting ??= startCalling({ onFailure });
    await setting.started;
    const { descriptor } = device;
    return await setting.state({ ...file, descriptor, device: deviceNumber(own.device), path: join(mountPoint, file.path) });
  };
  const caches = createKernelCaches({
    send: (message) => calls.write(device.descriptor, message),
    setState: deps.fs.traits.writeBack ? setState : undefined,
  });
  const isOwn = (thread: number): boolean => thread !== 0 && thread === setting?.id;
  const session = createSession({ ...deps, device, caches, isOwn, timeLimitMs: options.timeLimitMs });
  const waiter = startWaiting(device.descriptor, { onFailure, onReadable: () => transport.readable() });
  const transport = createTransport({ device, session, clock, waiter });
  transport.readable();

  const unmount = async (lazy: boolean): Promise<void> => {
    try {
      if (!isOver) await unmountFrom(mountPoint, lazy, () => calls.unmount(mountPoint, lazy));
    } catch (thrown) {
      // Somebody else was faster, and the thread that would have done it is gone.
      if (!isOver) throw thrown;
    }
  };
  const cutOff = Promise.withResolvers<void>();
  const served = Promise.race([transport.ended, failed.promise, cutOff.promise]);
  const ended = served
    .finally(async () => {
      isOver = true;
      session.end();
      await Promise.all([waiter.stop(), calls.stop(), setting?.stop()]);
      // Ends the waiting of whoever still asks.
      device.close();
    })
    .catch(async (error) => {
      await clearDeadMount(mountPoint, log).catch((thrown) => log.error("unmount_failed", { mountPoint, error: String(thrown) }));
      throw error;
    });
  ended.catch(() => undefined);

  try {
    await Promise.race([session.agreed, served]);
  } catch (thrown) {
    await unmount(true).catch(() => undefined);
    await ended.catch(() => undefined);
    throw thrown;
  }
  own = (await readMounts()).findLast((one) => one.mountPoint === mountPoint);
  if (own && options.readAheadKibibytes !== undefined) await setReadAhead(own.device, options.readAheadKibibytes);

  return {
    mountPoint,
    ended,
    unmount: ({ lazy }) => unmount(lazy),
    stop: async ({ graceMs }) => {
      await unmount(false).catch(() => unmount(true));
      const over = new AbortController();
      const grace = clock.sleep(graceMs, over.signal).then(cutOff.resolve, () => undefined);
      await ended.catch(() => undefined);
      over.abort();
      await grace;
    },
  };
}

async function directoryAt(path: string): Promise<string> {
  const found = await stat(path).catch((thrown: NodeJS.ErrnoException) => {
    throw new CollectiveError(
      thrown.code === "ENOENT" ? "not_found" : "invalid_argument",
      `${path} cannot be mounted on: ${thrown.message}`,
      {
        hint: "make the directory first",
      },
    );
  });
  if (!found.isDirectory()) throw new CollectiveError("not_a_directory", `${path} is no directory`, { hint: "name an empty directory" });
  return realpath(path);
}

/** One whose process was killed answers ENOTCONN to everything, and would keep the place for ever. */
async function clearDeadMount(path: string, log: Log): Promise<void> {
  // Its attributes the kernel may still believe, and then `stat` does not notice.
  const failure = await statfs(path).then(
    () => undefined,
    (thrown: NodeJS.ErrnoException) => thrown.code,
  );
  if (failure !== "ENOTCONN") return;
  log.warn("dead_mount_cleared", { mountPoint: path });
  // Nobody serves it, so nothing that is served here is waited for.
  await unmountFrom(path, true, () => unmountBlocking(path, true));
}

async function mountDevice(request: MountRequest): Promise<LinuxDevice> {
  if (process.getuid?.() === 0) {
    const device = openDevice();
    if ("errno" in device) throw noDevice(device.errno);
    const error = mountDirectly(device, request);
    if (error === 0) return device;
    device.close();
    throw new CollectiveError(error === constants.errno.EPERM ? "permission_denied" : "unavailable", `mount failed: ${errnoName(error)}`);
  }
  const helper = mountHelper();
  if (helper === undefined) throw new CollectiveError("unsupported", "fusermount3 is not installed", { hint: helperHint });
  const result = await mountByHelper(helper, request);
  if ("value" in result) return result.value;
  throw new CollectiveError("permission_denied", result.failure, {
    hint: request.allowOther ? "allow it: write user_allow_other into /etc/fuse.conf, or leave --allow-other out" : helperHint,
  });
}

function noDevice(error: number): CollectiveError {
  return new CollectiveError("unsupported", `/dev/fuse cannot be opened: ${errnoName(error)}`, {
    hint: "load the kernel module fuse; in a container, pass the device /dev/fuse and the capability SYS_ADMIN",
  });
}

/** `direct` is root's way: 0 or an errno. */
async function unmountFrom(mountPoint: string, lazy: boolean, direct: () => Answer<number>): Promise<void> {
  const hint = "close what is open there, or unmount lazily";
  if (process.getuid?.() === 0) {
    const error = await direct();
    // EINVAL: nothing is mounted there, so somebody else was faster.
    if (error === 0 || error === constants.errno.EINVAL) return;
    throw new CollectiveError("conflict", `${mountPoint} cannot be unmounted: ${errnoName(error)}`, { hint });
  }
  const helper = mountHelper();
  if (helper === undefined) throw new CollectiveError("unsupported", "fusermount3 is not installed", { hint: helperHint });
  const failure = await unmountByHelper(helper, mountPoint, lazy);
  if (failure === undefined || !(await isMounted(mountPoint))) return;
  throw new CollectiveError("conflict", failure, { hint });
}

/** By another process than the one that serves it. Also of one that is dead. */
export async function unmountAt(path: string): Promise<void> {
  // A dead one cannot be looked at.
  const mountPoint = await realpath(path).catch(() => resolve(path));
  if (!(await isMounted(mountPoint))) throw new CollectiveError("not_found", `no collective is mounted at ${mountPoint}`);
  await unmountFrom(mountPoint, false, () => unmountBlocking(mountPoint, false));
}

/** Also of one that is dead. */
export async function isMounted(mountPoint: string): Promise<boolean> {
  const onTop = (await readMounts()).findLast((one) => one.mountPoint === mountPoint);
  return onTop?.type === `fuse.${fileSystemType}`;
}
