/** Open files and directories by the numbers that the kernel gives back. */
import { CollectiveError } from "../../protocol/errors.ts";

export interface Handles<T> {
  add(value: T): number;
  get(handle: number): T;
  remove(handle: number): T;
}

export function createHandles<T>(): Handles<T> {
  const open = new Map<number, T>();
  let last = 0;
  const get = (handle: number): T => {
    const value = open.get(handle);
    if (value === undefined) throw new CollectiveError("bad_handle", `${handle} is not an open file`);
    return value;
  };
  return {
    add: (value) => {
      open.set(++last, value);
      return last;
    },
    get,
    remove: (handle) => {
      const value = get(handle);
      open.delete(handle);
      return value;
    },
  };
}
