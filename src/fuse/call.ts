/** Who asks, and the signal by which the question ends early. */
import type { CollectiveError } from "../../protocol/errors.ts";
import type { Call, Caller } from "../vfs/file-system.ts";
import { fuse_create_in, fuse_mkdir_in, fuse_mknod_in, fuse_opcode } from "./protocol.ts";
import type { Request } from "./request.ts";

export interface RequestCall extends Call {
  abort(reason: CollectiveError): void;
  /** Whether it got on since this was last asked. */
  takeProgress(): boolean;
}

const umaskPlaces: ReadonlyMap<number, number> = new Map([
  [fuse_opcode.FUSE_CREATE, fuse_create_in.umask],
  [fuse_opcode.FUSE_MKDIR, fuse_mkdir_in.umask],
  [fuse_opcode.FUSE_MKNOD, fuse_mknod_in.umask],
]);

export function callOf(request: Request): RequestCall {
  const umaskPlace = umaskPlaces.get(request.opcode);
  const umask = umaskPlace === undefined ? 0 : request.u32(umaskPlace);
  return new LazyCall({ uid: request.uid, gid: request.gid, pid: request.pid, umask });
}

/** Most calls never look at their signal, and a controller for each would cost more than some of them. */
class LazyCall implements RequestCall {
  readonly caller: Caller;
  #controller: AbortController | undefined;
  #reason: CollectiveError | undefined;
  #hasProgressed = false;

  constructor(caller: Caller) {
    this.caller = caller;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  progress(): void {
    this.#hasProgressed = true;
  }

  takeProgress(): boolean {
    const hasProgressed = this.#hasProgressed;
    this.#hasProgressed = false;
    return hasProgressed;
  }

  abort(reason: CollectiveError): void {
    this.#reason ??= reason;
    this.#controller?.abort(this.#reason);
  }
}
