/** A mount's file system without a kernel: the calls that one would make, with paths in place of numbers. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mebibyte } from "../../protocol/limits.ts";
import type { Remote } from "../../src/client/remote.ts";
import { type CollectiveFileSystem, openCollectiveFileSystem } from "../../src/vfs/collective-file-system.ts";
import { type Call, type EntryReply, type OpenFile, type OpenOptions, type Place, rootInode } from "../../src/vfs/file-system.ts";
import type { OtherMembers } from "../../src/vfs/realms.ts";
import { alice } from "./pki.ts";

export const call: Call = { caller: { uid: 0, gid: 0, pid: 1, umask: 0 }, signal: new AbortController().signal, progress: () => undefined };

const plainOpen: OpenOptions = {
  access: "read_write",
  append: false,
  truncate: false,
  synchronous: false,
  direct: false,
  clearSetIds: false,
};

export interface TestFileSystem extends AsyncDisposable {
  readonly fs: CollectiveFileSystem;
  /** What the kernel would know of a path, asked anew; undefined when it does not exist. */
  find(path: string): Promise<EntryReply | undefined>;
  place(path: string): Promise<Place>;
  open(path: string, options?: Partial<OpenOptions>): Promise<OpenFile>;
  create(path: string, options?: Partial<OpenOptions> & { readonly exclusive?: boolean }): Promise<OpenFile>;
  read(file: OpenFile, offset: number, lengthBytes: number): Promise<Uint8Array>;
  write(file: OpenFile, data: Uint8Array, offset: number): Promise<void>;
  close(file: OpenFile): Promise<void>;
  readFile(path: string): Promise<Uint8Array>;
  writeFile(path: string, data: Uint8Array): Promise<void>;
  /** Sorted, without `.` and `..`. */
  names(path: string): Promise<string[]>;
}

export interface TestFileSystemOptions {
  readonly remote: Remote;
  readonly components?: readonly string[];
  readonly readOnly?: boolean;
  readonly spoolBytesMax?: number;
  /** Its own without one. */
  readonly chunkFolder?: string;
  readonly others?: OtherMembers;
}

export async function openTestFileSystem(options: TestFileSystemOptions): Promise<TestFileSystem> {
  const { remote, components = [], readOnly = false, spoolBytesMax = 64 * mebibyte } = options;
  const folder = mkdtempSync(join(tmpdir(), "collective-vfs-"));
  const folders = { spoolFolder: join(folder, "spool"), chunkFolder: options.chunkFolder ?? join(folder, "chunks") };
  const others = options.others ?? { own: alice, remoteOf: () => Promise.reject(new Error("there are no others here")) };
  const owner = { uid: 1_000, gid: 1_000 };
  const limits = { spoolBytesMax, chunkFolderBytesMax: 256 * mebibyte };
  const fs = await openCollectiveFileSystem({ remote, others, components, readOnly, owner, ...folders, ...limits });
  const numberOf = async (path: string): Promise<number> => {
    const entry = await find(path);
    if (!entry) throw new Error(`${path} does not exist`);
    return entry.attributes.inode;
  };
  const find: TestFileSystem["find"] = async (path) => {
    let found: EntryReply | undefined = { ...(await fs.getAttributes(call, rootInode)), nameValidMs: 0 };
    for (const name of path.split("/").filter((part) => part !== "")) {
      const reply: Awaited<ReturnType<typeof fs.lookup>> = await fs.lookup(call, { parent: found.attributes.inode, name });
      if (!reply.attributes) return undefined;
      found = reply;
    }
    return found;
  };
  const place: TestFileSystem["place"] = async (path) => {
    const at = path.lastIndexOf("/");
    return { parent: await numberOf(path.slice(0, at)), name: path.slice(at + 1) };
  };
  const open: TestFileSystem["open"] = async (path, given) => {
    const inode = await numberOf(path);
    const { handle } = await fs.open(call, inode, { ...plainOpen, ...given });
    return { inode, handle };
  };
  const create: TestFileSystem["create"] = async (path, given) => {
    const made = await fs.create(call, await place(path), { ...plainOpen, mode: 0o644, exclusive: true, ...given });
    return { inode: made.entry.attributes.inode, handle: made.handle };
  };
  const read: TestFileSystem["read"] = async (file, offset, lengthBytes) => {
    const answer = await fs.read(call, file, { offset, lengthBytes });
    return new Uint8Array(answer instanceof Uint8Array ? answer : Buffer.concat(answer));
  };
  const write: TestFileSystem["write"] = async (file, data, offset) => {
    const taken = await fs.write(call, file, data, { offset, append: false, fromCache: false, clearSetIds: false });
    if (taken !== data.length) throw new Error(`${taken} of ${data.length} bytes were taken`);
  };
  const close: TestFileSystem["close"] = async (file) => {
    try {
      await fs.flush(call, file, 1n);
    } finally {
      await fs.release(call, file);
    }
  };
  return {
    fs,
    find,
    place,
    open,
    create,
    read,
    write,
    close,
    readFile: async (path) => {
      const file = await open(path, { access: "read" });
      const { attributes } = await fs.getAttributes(call, file.inode, file.handle);
      const bytes = await read(file, 0, attributes.sizeBytes + 1);
      await fs.release(call, file);
      return bytes;
    },
    writeFile: async (path, data) => {
      const file = (await find(path)) ? await open(path, { truncate: true }) : await create(path);
      await write(file, data, 0);
      await close(file);
    },
    names: async (path) => {
      const inode = await numberOf(path);
      const { handle } = await fs.openDirectory(call, inode);
      const names: string[] = [];
      for (let after = 0; ; ) {
        const page = await fs.list(call, { inode, handle }, { after, withAttributes: names.length % 2 === 0, entriesMax: 7 });
        if (page.length === 0) break;
        names.push(...page.map(({ name }) => name));
        after = page.at(-1)?.cookie ?? 0;
      }
      await fs.releaseDirectory(call, { inode, handle });
      return names.filter((name) => name !== "." && name !== "..").sort();
    },
    [Symbol.asyncDispose]: async () => {
      await fs.stop({ withinMs: 60_000 });
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
