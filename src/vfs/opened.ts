/** A file while a handle is open, or something of it is not stored yet. */
import type { FileContent } from "./file-content.ts";

export interface OpenedFile {
  readonly content: FileContent;
  handles: number;
  /** Handles whose writes the kernel may keep for a while, those that write past it, and which of both only append. */
  readonly writers: { cached: number; direct: number; appending: number };
  /** What the next commit will say; undefined where that is what the coordinator knows. */
  mode: number | undefined;
  modifiedNs: bigint | undefined;
  changedNs: bigint | undefined;
  hasFailed: boolean;
  /** Nobody else has it open: what is closed may be stored a moment later. */
  leased: boolean;
  /** What was closed is being stored. */
  storing: Promise<void> | undefined;
  /** The kernel is dropping what it has of an earlier version. */
  dropping: Promise<void> | undefined;
  /** Of those who wait for a commit: called whenever a part of it is stored. */
  readonly waiting: Set<() => void>;
}

/** Whatever comes behind the end is meant to be there, also when another client's bytes have come there first. */
export function onlyAppends({ writers: { cached, direct, appending } }: OpenedFile): boolean {
  return appending === cached + direct;
}

export function newOpened(content: FileContent, leased: boolean): OpenedFile {
  return {
    content,
    handles: 0,
    writers: { cached: 0, direct: 0, appending: 0 },
    mode: undefined,
    modifiedNs: undefined,
    changedNs: undefined,
    hasFailed: false,
    leased,
    storing: undefined,
    dropping: undefined,
    waiting: new Set(),
  };
}
