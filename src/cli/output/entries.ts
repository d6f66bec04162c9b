/** Files as `ls` and `stat` show them. */
import type { Attr, DirectoryEntry, FileType } from "../../../protocol/schema.ts";

const typeLetters = {
  directory: "d",
  file: "-",
  symlink: "l",
  fifo: "p",
  socket: "s",
  character_device: "c",
  block_device: "b",
} as const satisfies Record<FileType, string>;

/** `drwxr-xr-x` */
export function formatMode(attr: Pick<Attr, "type" | "mode">): string {
  const bits = [...attr.mode.toString(8).padStart(4, "0").slice(-3)].map((digit) => {
    const value = Number(digit);
    return `${value & 4 ? "r" : "-"}${value & 2 ? "w" : "-"}${value & 1 ? "x" : "-"}`;
  });
  return typeLetters[attr.type] + bits.join("");
}

/** `2026-11-21 14:03:59`, in UTC. */
export function formatTime(timeNs: bigint): string {
  return rfc3339(timeNs).slice(0, 19).replace("T", " ");
}

export function rfc3339(timeNs: bigint): string {
  return new Date(Number(timeNs / 1_000_000n)).toISOString();
}

/** The fields of the command-line contract. */
export function jsonEntry({ name, attr }: DirectoryEntry): Record<string, unknown> {
  return {
    name,
    type: attr.type,
    size: attr.sizeBytes,
    mtime: rfc3339(attr.mtimeNs),
    mode: attr.mode,
    owner: attr.owner,
    inode: attr.inode,
    ...(attr.target === undefined ? {} : { target: attr.target }),
  };
}
