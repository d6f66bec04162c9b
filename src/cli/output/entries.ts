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

/** Each for user, group and others: the bit beyond the nine, and how it shows with and without the one to execute. */
const specialBits = [
  { bit: 0o4000, letters: "sS" },
  { bit: 0o2000, letters: "sS" },
  { bit: 0o1000, letters: "tT" },
] as const;

/** `drwxr-xr-x`, and as `ls` shows it where set-id and sticky bits are set. */
export function formatMode({ type, mode }: Pick<Attr, "type" | "mode">): string {
  const bits = specialBits.map(({ bit, letters }, index) => {
    const value = mode >> (6 - 3 * index);
    const executes = (value & 1) !== 0;
    const last = (mode & bit) === 0 ? (executes ? "x" : "-") : letters[executes ? 0 : 1];
    return `${value & 4 ? "r" : "-"}${value & 2 ? "w" : "-"}${last}`;
  });
  return typeLetters[type] + bits.join("");
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
