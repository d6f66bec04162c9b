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
  parent: number;
  name: string;
  children: Map<string, number>;
  pieces: readonly string[];
  mode: number;
  mtimeNs: bigint;
  version: number;
  target: string | undefined;
}

export interface Place {
  readonly parent: number;
  readonly name: string;
}

export interface ModelFile extends Place {
  readonly pieces: readonly string[];
  readonly mode: number;
  readonly mtimeNs: bigint;
  readonly replaces: { readonly id: number; readonly version: number } | null | undefined;
}

export const modelRoot = 1;

export function pieceBytes(piece: string): number {
  return Number(piece.split(":")[1]);
}

export function sizeOf(entry: ModelEntry): number {
  if (entry.target !== undefined) return Buffer.byteLength(entry.target);
  return entry.pieces.reduce((sum, piece) => sum + pieceBytes(piece), 0);
}

export function createNamespaceModel(nowNs: () => bigint) {
  let entries = new Map<number, ModelEntry>();
  let quotas = new Map<number, number>();
  let lastId = modelRoot;
  entries.set(modelRoot, fresh({ type: "directory", store: 0, parent: 0, name: "", mode: 0o755, mtimeNs: 0n }));

  const get = (id: number): ModelEntry => {
    const entry = entries.get(id);
    if (!entry) throw new Refused("not_found");
    return entry;
  };
  const directory = (id: number): ModelEntry => {
    const entry = get(id);
    if (entry.type !== "directory") throw new Refused("not_a_directory");
    return entry;
  };
  const touch = (id: number): void => {
    get(id).mtimeNs = nowNs();
  };
  const child = ({ parent, name }: Place): number | undefined => get(parent).children.get(name);
  const below = (id: number): number[] => [id, ...[...get(id).children.values()].flatMap(below)];
  const add = (place: Place, entry: Parameters<typeof fresh>[0]): number => {
    const id = ++lastId;
    entries.set(id, fresh({ ...entry, ...place }));
    get(place.parent).children.set(place.name, id);
    touch(place.parent);
    return id;
  };
  const drop = (id: number): void => {
    const { parent, name } = get(id);
    get(parent).children.delete(name);
    for (const gone of below(id)) entries.delete(gone);
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
    const { store } = directory(file.parent);
    if (file.parent === modelRoot) throw new Refused("invalid_argument");
    const there = child(file);
    const known = there === undefined ? undefined : get(there);
    if (known?.type === "directory") throw new Refused("is_a_directory");
    if (known?.type === "symlink") throw new Refused("already_exists");
    if (file.replaces === null && known) throw new Refused("already_exists");
    if (file.replaces && (file.replaces.id !== there || file.replaces.version !== known?.version)) throw new Refused("conflict");
    const { pieces, mode, mtimeNs } = file;
    assertQuota(store, pieces.reduce((sum, piece) => sum + pieceBytes(piece), 0) - fileBytes(there));
    if (there === undefined || !known) return add({ parent: file.parent, name: file.name }, { type: "file", store, pieces, mode, mtimeNs });
    Object.assign(known, { pieces, mode, mtimeNs, version: known.version + 1 });
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
      if (there !== undefined) drop(there);
      return add(place, { type: "symlink", store, mode: 0o777, mtimeNs: link.mtimeNs, target: link.target });
    },
    setAttr(id: number, change: { mode: number | undefined; mtimeNs: bigint | undefined }): void {
      const entry = get(id);
      entry.mode = change.mode ?? entry.mode;
      entry.mtimeNs = change.mtimeNs ?? entry.mtimeNs;
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
      drop(there);
      touch(place.parent);
    },
    rename(from: Place, to: Place, replace: boolean): void {
      directory(from.parent);
      const target = directory(to.parent);
      const moved = child(from);
      if (moved === undefined) throw new Refused("not_found");
      const there = child(to);
      if (there === moved) return;
      const entry = get(moved);
      const isStore = from.parent === modelRoot;
      if (isStore !== (to.parent === modelRoot) || (!isStore && entry.store !== target.store)) throw new Refused("cross_store");
      if (below(moved).includes(to.parent)) throw new Refused("invalid_argument");
      if (there !== undefined) {
        if (!replace) throw new Refused("already_exists");
        assertReplaceable(there, entry.type === "directory");
        drop(there);
      }
      get(from.parent).children.delete(from.name);
      target.children.set(to.name, moved);
      Object.assign(entry, to);
      touch(from.parent);
      touch(to.parent);
    },
    clone(source: number, to: Place, replace: boolean): number {
      const entry = get(source);
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
      if (there !== undefined) drop(there);
      const { type, store, pieces, mode, mtimeNs, target } = entry;
      return add(to, { type, store, pieces, mode, mtimeNs, target });
    },
  };
}

export type NamespaceModel = ReturnType<typeof createNamespaceModel>;

function fresh(
  given: Pick<ModelEntry, "type" | "store" | "mode" | "mtimeNs"> & Partial<Pick<ModelEntry, "parent" | "name" | "pieces" | "target">>,
): ModelEntry {
  return { parent: 0, name: "", children: new Map(), pieces: [], version: 1, target: undefined, ...given };
}
