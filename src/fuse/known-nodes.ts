/** How often the kernel was told each number: it gives them back by count, and only at zero has it forgotten one. */
import { rootInode } from "../vfs/file-system.ts";
import type { KnownNodes } from "./operation.ts";

export interface CountedNodes extends KnownNodes {
  forget(inode: number, times: number): void;
}

export function createKnownNodes(onForgotten: (inode: number) => void): CountedNodes {
  const counts = new Map<number, number>();
  return {
    remember: (inode) => {
      counts.set(inode, (counts.get(inode) ?? 0) + 1);
    },
    dismiss: (inode) => {
      if (inode !== rootInode && !counts.has(inode)) onForgotten(inode);
    },
    forget: (inode, times) => {
      const known = counts.get(inode);
      // The root is never looked up and never forgotten.
      if (inode === rootInode || known === undefined) return;
      if (known > times) {
        counts.set(inode, known - times);
        return;
      }
      counts.delete(inode);
      onForgotten(inode);
    },
  };
}
