/** A mount from the first request to the last, in this process. */
import { join } from "node:path";
import type { GlobalName } from "../../../protocol/ids.ts";
import { formatPath } from "../../../protocol/path.ts";
import type { HostPort } from "../../core/units.ts";
import { mount } from "../../fuse/mount.ts";
import { noStatistics } from "../../fuse/statistics.ts";
import { tracerOf } from "../../fuse/trace.ts";
import { openCollectiveFileSystem } from "../../vfs/collective-file-system.ts";
import type { Io } from "../io.ts";
import { openSession, type Session } from "../session.ts";
import type { ObservedMount } from "./observability.ts";

export interface MountRequest {
  readonly mountPoint: string;
  readonly remotePath: string;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  /** On this machine's disk: half for what was read, half for what is written and not stored yet. */
  readonly cacheBytes: number;
  /** Of each call but waiting for a lock. */
  readonly timeLimitMs: number;
  /** Where metrics and health are served. */
  readonly metricsAddress: HostPort | undefined;
}

/** How long programs that still have files open are served after the mount was told to end. */
const graceMs = 5_000;
const readAheadKibibytes = 4_096;

export async function runMount(io: Io, request: MountRequest): Promise<void> {
  const session = await openSession(io);
  const { member, remote, components } = await session.at(request.remotePath);
  const fs = await openCollectiveFileSystem({
    remote,
    components,
    others: member === undefined ? othersOf(session) : undefined,
    readOnly: request.readOnly,
    owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    spoolFolder: join(io.home, "spool"),
    spoolBytesMax: request.cacheBytes / 2,
    chunkFolder: join(io.home, "cache", "chunks"),
    chunkFolderBytesMax: request.cacheBytes / 2,
  });
  const { mountPoint, readOnly, allowOther, timeLimitMs } = request;
  const shown = formatPath({ member: member ?? session.member, components });
  const { metricsAddress } = request;
  let observed: ObservedMount | undefined;
  try {
    // Loaded only where it is wanted: it takes 5 MB.
    if (metricsAddress) {
      const { observeMount } = await import("./observability.ts");
      observed = observeMount(fs, { ...metricsAddress, member: session.member, log: io.log });
    }
    const mounted = await mount(
      { mountPoint, source: shown, readOnly, allowOther, timeLimitMs, readAheadKibibytes },
      {
        fs,
        clock: io.clock,
        log: io.log,
        statistics: observed?.statistics ?? noStatistics,
        trace: tracerOf(io.environment, (text) => void io.stderr.write(text)),
      },
    );
    io.stdout.write(`ready mount=${mounted.mountPoint} remote=${shown}${observed ? ` metrics=${observed.address}` : ""}\n`);
    const stop = (): void => void mounted.stop({ graceMs });
    if (io.signal.aborted) stop();
    io.signal.addEventListener("abort", stop, { once: true });
    await mounted.ended.catch((error: unknown) => {
      if (!io.signal.aborted) throw error;
    });
  } finally {
    await observed?.stop();
    for (const path of await fs.stop({ withinMs: timeLimitMs })) io.log.error("written and not stored, it is lost", { path });
  }
}

function othersOf(session: Session) {
  return {
    own: session.member,
    remoteOf: async (member: GlobalName, signal?: AbortSignal) => (await session.at(`/@${member}`, signal)).remote,
  };
}
