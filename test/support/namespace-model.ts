/**
 * What a namespace should be, as plainly as it can be said: records in a map. Every change is tried
 * on a copy, so that one that is refused changes nothing. Errors are thrown as bare codes.
 */
import type { ErrorCode } from "../../protocol/errors.ts";

export class Refused extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode) {
    super(code);
    this.code = code;
  }
}

export interface ModelEntry {
  readonly type: "directory" | "file" | "symlink";
  /** The store's own record; 0 for the root. */
  store: number;
  /** Several for a file with links, none for one that is only held. */
  names: Place[];
  held: boolean;
  children: Map<string, number>;
  /** Of a file: each byte by the piece that it is of, and where in it; `-` in a hole. */
  bytes: readonly string[];
  mode: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
  version: number;
  target: string | undefined;
}

export interface Place {
  readonly parent: number;
  readonly name: string;
}

export interface ModelFile extends Place {
  readonly pieces: readonly string[];
  /** In place of the whole content: what the file, cut or lengthened to this size, has at an offset. */
  readonly changed?: { readonly sizeBytes: number; readonly offset: number; readonly bytes: readonly string[] };
  readonly mode: number;
  readonly mtimeNs: bigint;
  readonly replaces: { readonly id: number; readonly version: number } | null | undefined;
  /** Written by its number, whatever has the name. */
  readonly id: number | undefined;
}

export const modelRoot = 1;

export const holeByte = "-";

export function bytesOfPiece(piece: string): string[] {
  return Array.from({ length: Number(piece.split(":")[1]) }, (_, index) => `${piece}/${index}`);
}

function changedBytes(before: readonly string[], { sizeBytes, offset, bytes }: NonNullable<ModelFile["changed"]>): string[] {
  return Array.from({ length: sizeBytes }, (_, index) => bytes[index - offset] ?? before[index] ?? holeByte);
}

export function sizeOf(entry: ModelEntry): number {
  if (entry.target !== undefined) return Buffer.byteLength(entry.target);
  return entry.bytes.length;
}

export function createNamespaceModel(nowNs: () => bigint) {
  let entries = new Map<number, ModelEntry>();
  let quotas = new Map<number, number>();
  let lastId = modelRoot;
  entries.set(modelRoot, fresh({ type: "directory", store: 0, mode: 0o755, mtimeNs: 0n }));

  const get = (id: number): ModelEntry => {
    const entry = entries.get(id);
    if (!entry) throw new Refused("not_found");
    return entry;
  };
  const directory = (id: number): ModelEntry => {
    const entry = get(id);
    if (entry.names.length === 0 && id !== modelRoot) throw new Refused("not_found");
    if (entry.type !== "directory") throw new Refused("not_a_directory");
    return entry;
  };
  const change = (id: number): void => {
    get(id).ctimeNs = nowNs();
  };
  const touch = (id: number): void => {
    get(id).mtimeNs = nowNs();
    change(id);
  };
  const child = ({ parent, name }: Place): number | undefined => get(parent).children.get(name);
  const below = (id: number): number[] => [id, ...[...get(id).children.values()].flatMap(below)];
  const name = (id: number, place: Place): void => {
    get(place.parent).children.set(place.name, id);
    get(id).names.push({ parent: place.parent, name: place.name });
  };
  const unname = (id: number, place: Place): void => {
    get(place.parent).children.delete(place.name);
    const entry = get(id);
    entry.names = entry.names.filter((other) => other.parent !== place.parent || other.name !== place.name);
  };
  const add = (place: Place, entry: Parameters<typeof fresh>[0]): number => {
    const id = ++lastId;
    entries.set(id, fresh({ ...entry, ctimeNs: nowNs() }));
    name(id, place);
    touch(place.parent);
    return id;
  };
  const drop = (place: Place): void => {
    const id = child(place);
    if (id === undefined) throw new Error("there is nothing to drop");
    unname(id, place);
    const entry = get(id);
    for (const inner of [...entry.children.keys()]) drop({ parent: id, name: inner });
    change(id);
    if (entry.names.length === 0 && !entry.held) entries.delete(id);
  };
  const used = (store: number): number =>
    [...entries.values()].reduce((sum, entry) => sum + (entry.type === "file" && entry.store === store ? sizeOf(entry) : 0), 0);
  const assertQuota = (store: number, moreBytes: number): void => {
    const quota = quotas.get(store);
    if (quota !== undefined && moreBytes > 0 && used(store) + moreBytes > quota) throw new Refused("quota_exceeded");
  };
  const fileBytes = (id: number | undefined): number => (id !== undefined && get(id).type === "file" ? sizeOf(get(id)) : 0);
  const assertReplaceable = (id: number, byDirectory: boolean): void => {
    const { type, children } = get(id);
    if (byDirectory && type !== "directory") throw new Refused("not_a_directory");
    if (!byDirectory && type === "directory") throw new Refused("is_a_directory");
    if (children.size > 0) throw new Refused("not_empty");
  };

  const movable = (from: Place, to: Place): number => {
    directory(from.parent);
    directory(to.parent);
    const moved = child(from);
    if (moved === undefined) throw new Refused("not_found");
    return moved;
  };
  const assertMovable = (moved: number, to: Place): void => {
    const { store } = get(moved);
    const isStore = store === moved;
    if (isStore !== (to.parent === modelRoot) || (!isStore && store !== get(to.parent).store)) throw new Refused("cross_store");
    if (get(moved).type === "directory" && below(moved).includes(to.parent)) throw new Refused("invalid_argument");
  };

  const makeDirectory = (place: Place, { mode, existing }: { mode: number; existing: "keep" | "fail" }): number => {
    const parent = directory(place.parent);
    const there = child(place);
    if (there !== undefined) {
      if (existing === "fail" || get(there).type !== "directory") throw new Refused("already_exists");
      return there;
    }
    const id = add(place, { type: "directory", store: parent.store, mode, mtimeNs: nowNs() });
    if (place.parent === modelRoot) get(id).store = id;
    return id;
  };
  const commitFile = (file: ModelFile): number => {
    if (file.id !== undefined) get(file.id);
    else if (directory(file.parent) && file.parent === modelRoot) throw new Refused("invalid_argument");
    const there = file.id ?? child(file);
    const known = there === undefined ? undefined : get(there);
    const { store } = known ?? get(file.parent);
    if (known?.type === "directory") throw new Refused("is_a_directory");
    if (known?.type === "symlink") throw new Refused("already_exists");
    if (file.replaces === null && known) throw new Refused("already_exists");
    if (file.replaces && (file.replaces.id !== there || file.replaces.version !== known?.version)) throw new Refused("conflict");
    const { pieces, changed, mode, mtimeNs } = file;
    const bytes = changed ? changedBytes(known?.bytes ?? [], changed) : pieces.flatMap(bytesOfPiece);
    assertQuota(store, bytes.length - fileBytes(there));
    if (there === undefined || !known) return add(file, { type: "file", store, bytes, mode, mtimeNs });
    Object.assign(known, { bytes, mode, mtimeNs, ctimeNs: nowNs(), version: known.version + 1 });
    return there;
  };

  return {
    get entries(): ReadonlyMap<number, ModelEntry> {
      return entries;
    },
    below,
    used,
    /** Runs a change; one that is refused leaves everything as it was. */
    attempt<T>(change: () => T): T {
      const before = { entries: structuredClone(entries), quotas: new Map(quotas), lastId };
      try {
        return change();
      } catch (error) {
        ({ entries, quotas, lastId } = before);
        throw error;
      }
    },
    makeDirectory,
    commitFile,
    makeSymlink(place: Place, link: { target: string; mtimeNs: bigint }): number {
      const { store } = directory(place.parent);
      if (place.parent === modelRoot) throw new Refused("invalid_argument");
      const there = child(place);
      if (there !== undefined && get(there).type !== "symlink") throw new Refused("already_exists");
      if (there !== undefined) drop(place);
      return add(place, { type: "symlink", store, mode: 0o777, mtimeNs: link.mtimeNs, target: link.target });
    },
    setAttr(id: number, change: { mode: number | undefined; mtimeNs: bigint | undefined }): void {
      const entry = get(id);
      entry.mode = change.mode ?? entry.mode;
      entry.mtimeNs = change.mtimeNs ?? entry.mtimeNs;
      entry.ctimeNs = nowNs();
    },
    setQuota(store: number, quotaBytes: number | null): void {
      if (quotaBytes === null) quotas.delete(store);
      else quotas.set(store, quotaBytes);
    },
    remove(place: Place, kind: "file" | "directory" | "tree"): void {
      directory(place.parent);
      const there = child(place);
      if (there === undefined) throw new Refused("not_found");
      const isDirectory = get(there).type === "directory";
      if (kind === "file" && isDirectory) throw new Refused("is_a_directory");
      if (kind === "directory" && !isDirectory) throw new Refused("not_a_directory");
      if (kind === "directory" && get(there).children.size > 0) throw new Refused("not_empty");
      drop(place);
      touch(place.parent);
    },
    rename(from: Place, to: Place, replace: boolean): void {
      const moved = movable(from, to);
      const there = child(to);
      if (there === moved) {
        if (!replace && (from.parent !== to.parent || from.name !== to.name)) throw new Refused("already_exists");
        return;
      }
      assertMovable(moved, to);
      if (there !== undefined) {
        if (!replace) throw new Refused("already_exists");
        assertReplaceable(there, get(moved).type === "directory");
        drop(to);
      }
      unname(moved, from);
      name(moved, to);
      for (const parent of [from.parent, to.parent]) touch(parent);
      change(moved);
    },
    exchange(one: Place, other: Place): void {
      const [ofOne, ofOther] = [movable(one, other), movable(other, one)];
      if (ofOne === ofOther) return;
      assertMovable(ofOne, other);
      assertMovable(ofOther, one);
      unname(ofOne, one);
      unname(ofOther, other);
      name(ofOne, other);
      name(ofOther, one);
      for (const parent of [one.parent, other.parent]) touch(parent);
      for (const id of [ofOne, ofOther]) change(id);
    },
    link(id: number, to: Place): void {
      const { type, store, names } = get(id);
      if (names.length === 0 && id !== modelRoot) throw new Refused("not_found");
      const parent = directory(to.parent);
      if (type === "directory") throw new Refused("is_a_directory");
      if (parent.store !== store) throw new Refused("cross_store");
      if (child(to) !== undefined) throw new Refused("already_exists");
      name(id, to);
      touch(to.parent);
      change(id);
    },
    hold(id: number): void {
      const entry = entries.get(id);
      if (entry?.type === "directory") throw new Refused("is_a_directory");
      if (entry) entry.held = true;
    },
    release(id: number): void {
      const entry = entries.get(id);
      if (entry) entry.held = false;
      if (entry?.names.length === 0 && id !== modelRoot) entries.delete(id);
    },
    clone(source: number, to: Place, replace: boolean): number {
      const entry = get(source);
      if (entry.names.length === 0 && source !== modelRoot) throw new Refused("not_found");
      if (entry.type === "directory") throw new Refused("is_a_directory");
      const parent = directory(to.parent);
      if (to.parent === modelRoot) throw new Refused("invalid_argument");
      if (parent.store !== entry.store) throw new Refused("cross_store");
      const there = child(to);
      if (there === source) throw new Refused("invalid_argument");
      const moreBytes = fileBytes(source) - fileBytes(there);
      if (there !== undefined) {
        if (!replace) throw new Refused("already_exists");
        assertReplaceable(there, false);
      }
      assertQuota(entry.store, moreBytes);
      if (there !== undefined) drop(to);
      const { type, store, bytes, mode, mtimeNs, target } = entry;
      return add(to, { type, store, bytes, mode, mtimeNs, target });
    },
  };
}

export type NamespaceModel = ReturnType<typeof createNamespaceModel>;

function fresh(
  given: Pick<ModelEntry, "type" | "store" | "mode" | "mtimeNs"> & Partial<Pick<ModelEntry, "bytes" | "target" | "ctimeNs">>,
): ModelEntry {
  return { names: [], held: false, children: new Map(), bytes: [], version: 1, target: undefined, ctimeNs: 0n, ...given };
}

export function linksOf({ entries }: Pick<NamespaceModel, "entries">, { type, names, children }: ModelEntry): number {
  if (type !== "directory") return names.length;
  return 2 + [...children.values()].filter((id) => entries.get(id)?.type === "directory").length;
}
