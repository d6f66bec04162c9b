/** A tree of names in memory that answers as Linux does: what there is, or the name of the error. */
export interface ModelFile {
  readonly kind: "file";
  bytes: Buffer;
  mode: number;
  links: number;
}

export interface ModelDirectory {
  readonly kind: "directory";
  readonly entries: Map<string, ModelNode>;
  mode: number;
}

export interface ModelLink {
  readonly kind: "link";
  readonly target: string;
}

export type ModelNode = ModelFile | ModelDirectory | ModelLink;

/** Names from the root. */
export type TreePath = readonly string[];

export interface TreeModel {
  /** Undefined where there is nothing. */
  find(path: TreePath): ModelNode | undefined;
  file(path: TreePath): ModelFile;
  list(path: TreePath): string[];
  create(path: TreePath, bytes: Buffer): void;
  makeDirectory(path: TreePath): void;
  makeLink(path: TreePath, target: string): void;
  link(from: TreePath, to: TreePath): void;
  unlink(path: TreePath): void;
  removeDirectory(path: TreePath): void;
  rename(from: TreePath, to: TreePath): void;
  setMode(path: TreePath, mode: number): void;
  /** All there is, directories before what is in them. */
  all(): TreePath[];
}

export const [fileMode, directoryMode] = [0o644, 0o755];

function fail(code: string): never {
  throw Object.assign(new Error(code), { code });
}

export function createTreeModel(): TreeModel {
  const root: ModelDirectory = { kind: "directory", entries: new Map(), mode: directoryMode };
  /** Links lead nowhere, so what would be beyond one does not exist. */
  const directory = (path: TreePath): ModelDirectory => {
    let at: ModelDirectory = root;
    for (const name of path) {
      const next = at.entries.get(name);
      if (next === undefined || next.kind === "link") return fail("ENOENT");
      if (next.kind === "file") return fail("ENOTDIR");
      at = next;
    }
    return at;
  };
  const parentOf = (path: TreePath) => ({ entries: directory(path.slice(0, -1)).entries, name: path.at(-1) ?? "" });
  const there = (path: TreePath): ModelNode => {
    const { entries, name } = parentOf(path);
    return entries.get(name) ?? fail("ENOENT");
  };
  const make = (path: TreePath, node: ModelNode): void => {
    const { entries, name } = parentOf(path);
    if (entries.has(name)) fail("EEXIST");
    entries.set(name, node);
  };
  const isInside = (path: TreePath, of: TreePath): boolean => path.length > of.length && of.every((name, index) => path[index] === name);
  const assertReplaceable = (source: ModelNode, target: ModelNode): void => {
    if (source.kind === "directory" && target.kind !== "directory") fail("ENOTDIR");
    if (source.kind !== "directory" && target.kind === "directory") fail("EISDIR");
    if (target.kind === "directory" && target.entries.size > 0) fail("ENOTEMPTY");
  };
  const below = (path: TreePath, { entries }: ModelDirectory): TreePath[] =>
    [...entries].flatMap(([name, node]) => {
      const at = [...path, name];
      return node.kind === "directory" ? [at, ...below(at, node)] : [at];
    });
  return {
    find: (path) => {
      try {
        return path.length === 0 ? root : there(path);
      } catch {
        return undefined;
      }
    },
    file: (path) => {
      const node = there(path);
      if (node.kind === "directory") return fail("EISDIR");
      return node.kind === "file" ? node : fail("ENOENT");
    },
    list: (path) => [...directory(path).entries.keys()].sort(),
    create: (path, bytes) => make(path, { kind: "file", bytes, mode: fileMode, links: 1 }),
    makeDirectory: (path) => make(path, { kind: "directory", entries: new Map(), mode: directoryMode }),
    makeLink: (path, target) => make(path, { kind: "link", target }),
    link: (from, to) => {
      const node = there(from);
      const { entries, name } = parentOf(to);
      if (entries.has(name)) fail("EEXIST");
      if (node.kind === "directory") fail("EPERM");
      entries.set(name, node);
      if (node.kind === "file") node.links++;
    },
    unlink: (path) => {
      const node = there(path);
      if (node.kind === "directory") fail("EISDIR");
      const { entries, name } = parentOf(path);
      entries.delete(name);
      if (node.kind === "file") node.links--;
    },
    removeDirectory: (path) => {
      const node = there(path);
      if (node.kind !== "directory") return fail("ENOTDIR");
      if (node.entries.size > 0) fail("ENOTEMPTY");
      const { entries, name } = parentOf(path);
      entries.delete(name);
    },
    rename: (from, to) => {
      const [source, target] = [parentOf(from), parentOf(to)];
      const moved = source.entries.get(source.name) ?? fail("ENOENT");
      if (isInside(to, from)) fail("EINVAL");
      if (isInside(from, to)) fail("ENOTEMPTY");
      const replaced = target.entries.get(target.name);
      // Two names of one file stay as they are.
      if (replaced === moved) return;
      if (replaced) assertReplaceable(moved, replaced);
      source.entries.delete(source.name);
      target.entries.set(target.name, moved);
      if (replaced?.kind === "file") replaced.links--;
    },
    setMode: (path, mode) => {
      const node = there(path);
      if (node.kind === "link") fail("ENOENT");
      else node.mode = mode;
    },
    all: () => below([], root),
  };
}
