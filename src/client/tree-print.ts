/**
 * What a file or a tree was when it was looked at, in constant memory: prints are equal when neither a name nor the content
 * below has come, gone or changed. The order in which things were found does not matter.
 */
import { createHash } from "node:crypto";
import type { Attr } from "../../protocol/schema.ts";
import type { FoundEntry } from "./copy.ts";
import { listDirectory } from "./files.ts";
import type { Remote } from "./remote.ts";

export interface TreePrint {
  note(entry: FoundEntry): void;
  equals(other: TreePrint): boolean;
  /** Of all that was noted. */
  readonly sum: bigint;
}

const sumBits = 128;

export function createTreePrint(): TreePrint {
  let sum = 0n;
  return {
    note: ({ directory, name, attr }) => {
      // Of the top one the name does not count, for it is another at the target; nor does a directory's version, which counts what is in it.
      const facts = directory === undefined ? [attr.inode] : [directory, name, attr.inode];
      const version = attr.type === "directory" ? "directory" : attr.version;
      const digest = createHash("sha256")
        .update(JSON.stringify([...facts, version]))
        .digest("hex");
      sum = BigInt.asUintN(sumBits, sum + BigInt(`0x${digest}`));
    },
    equals: (other) => other.sum === sum,
    get sum() {
      return sum;
    },
  };
}

/** Of what stands there now. */
export async function printTree(remote: Remote, top: Attr, signal?: AbortSignal): Promise<TreePrint> {
  const print = createTreePrint();
  print.note({ directory: undefined, name: "", attr: top });
  const waiting = top.type === "directory" ? [top.inode] : [];
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    for await (const { name, attr } of listDirectory(remote, directory, signal)) {
      print.note({ directory, name, attr });
      if (attr.type === "directory") waiting.push(attr.inode);
    }
  }
  return print;
}
