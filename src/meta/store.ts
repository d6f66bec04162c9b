/**
 * What a coordinator knows: names, stores, which chunks a file is made of, where their copies are,
 * and which nodes there are. Never file bytes, never plaintext of anything but names.
 *
 * Contract of every implementation (test/conformance/metadata-store.ts):
 * - Each method is one transaction: all of it or none, also under `kill -9`.
 * - A method documented as durable has reached the disk when it resolves.
 * - Names are single path components that have passed `parseName`.
 */
import type { ChunkId, GlobalName, Inode } from "../../protocol/ids.ts";
import type { RequestId } from "../../protocol/request-id.ts";
import type {
  Attr,
  ChunkCodec,
  CopyState,
  DirectoryEntry,
  ExtendedAttribute,
  FileCommit,
  Heartbeat,
  OfferedChunk,
  PosixOwner,
  SpecialType,
  Store,
  StorePolicy,
} from "../../protocol/schema.ts";
import type { ChangeListener } from "./changes.ts";
import type { AuditTrail, EnrolmentRegistry, GrantRegistry, InviteRegistry, PeerRegistry } from "./people.ts";

export interface EntryRef {
  readonly parent: Inode;
  readonly name: string;
}

/** See `placesOf` in walk.ts. */
export interface Place {
  readonly directory: Inode;
  readonly name: string | undefined;
}

export interface NewNode extends EntryRef, PosixOwner {
  readonly type: SpecialType;
  readonly mode: number;
  readonly device: number;
}

/** What has several names counts once. */
export interface TreeUsage {
  readonly files: number;
  readonly directories: number;
  readonly logicalBytes: number;
  /** Of one copy of each chunk; a chunk shared by several files counts once. */
  readonly storedBytes: number;
}

export interface LocatedExtent {
  readonly offset: number;
  readonly chunk: ChunkId;
  readonly plainBytes: number;
  /** Where in the chunk it begins, and how long the chunk's plaintext is. */
  readonly chunkOffset: number;
  readonly chunkBytes: number;
  readonly storedBytes: number;
  readonly codec: ChunkCodec;
  readonly copies: readonly { readonly node: GlobalName; readonly state: CopyState }[];
}

/** POSIX-shaped names over inodes. Changes are durable when they resolve. */
export interface Namespace {
  /** `attr` is null when only the last component is missing. `not_found` and `not_a_directory` name the component that is to blame. */
  resolve(components: readonly string[]): Promise<{ parent: Attr | null; attr: Attr | null }>;
  /** The root and what follows of the path, as far as it exists; what that means is said by `endOfWalk`. */
  walk(components: readonly string[]): Promise<Attr[]>;
  /** Of a directory. Undefined for what does not exist or hangs below a removed tree. */
  pathOf(inode: Inode): Promise<string | undefined>;
  placesOf(inode: Inode): Promise<Place[]>;
  /** Null when there is none of that name. */
  lookup(entry: EntryRef): Promise<Attr | null>;
  /** Sorted by the names' UTF-8 bytes, starting after `after`. */
  list(
    inode: Inode,
    page: { readonly after?: string | undefined; readonly limit: number },
  ): Promise<{ entries: DirectoryEntry[]; more: boolean }>;
  makeDirectories(
    directories: readonly (EntryRef & PosixOwner & { readonly mode: number })[],
    options: { readonly existing: "keep" | "fail"; readonly owner: string },
  ): Promise<Attr[]>;
  /** Replaces an existing link of the same name, unless it is to fail then, and never a file or a directory. */
  makeSymlinks(
    links: readonly (EntryRef & PosixOwner & { readonly target: string; readonly mtimeNs: bigint })[],
    options: { readonly existing?: "replace" | "fail" | undefined; readonly owner: string },
  ): Promise<Attr[]>;
  /** A fifo, a socket or a device. */
  makeNode(node: NewNode, options: { readonly owner: string }): Promise<Attr>;
  /** Another name for the same inode, inside its datastore; never for a directory. */
  link(inode: Inode, to: EntryRef): Promise<Attr>;
  /**
   * `file` is anything but a directory; `directory` wants it empty; `tree` takes all below with it, in constant time for the caller.
   * What has another name stays, and so does what is held. Answers when the directory has changed, as it shows.
   */
  remove(entry: EntryRef, kind: "file" | "directory" | "tree", options: { readonly by: string }): Promise<bigint>;
  /** As rename(2). `cross_store` between datastores; a directory cannot move below itself. */
  rename(from: EntryRef, to: EntryRef, options: { readonly replace: boolean }): Promise<void>;
  /** Each gets the other's name, in one step; both must be there. */
  exchange(one: EntryRef, other: EntryRef): Promise<void>;
  /** A new file made of the same chunks and with the same attributes, extended ones included, inside one datastore. */
  clone(source: Inode, to: EntryRef, options: { readonly replace: boolean; readonly owner: string }): Promise<Attr>;
  usage(inode: Inode): Promise<TreeUsage>;
  /** A datastore with all that is in it; answers what that was. */
  removeStore(name: string, options: { readonly by: string }): Promise<TreeUsage>;
  /** Extents that overlap the range, in order, at most `limit`; between them are holes. `not_found` for what is being freed. */
  extents(inode: Inode, range: { readonly offset: number; readonly lengthBytes: number; readonly limit: number }): Promise<LocatedExtent[]>;
}

/** Only what is present changes. */
export interface AttrChange extends PosixOwner {
  readonly mode?: number | undefined;
  /** "now" by the coordinator's clock. */
  readonly atimeNs?: bigint | "now" | undefined;
  readonly mtimeNs?: bigint | "now" | undefined;
}

export interface Attributes {
  getAttr(inode: Inode): Promise<Attr>;
  setAttr(inode: Inode, change: AttrChange): Promise<Attr>;
  /** Sorted by their names. */
  extendedAttributes(inode: Inode): Promise<ExtendedAttribute[]>;
  /** "create" is `already_exists` where there is one, "replace" `no_attribute` where there is none. */
  setExtendedAttribute(inode: Inode, attribute: ExtendedAttribute, existing: "either" | "create" | "replace"): Promise<void>;
  removeExtendedAttribute(inode: Inode, name: string): Promise<void>;
}

/** One of a person's clients, which has files open. */
export interface Session {
  readonly caller: GlobalName;
  readonly token: string;
}

/**
 * Files without a name that are still open; see holds.ts. Holding survives a crash of the process; after a power failure the session has to
 * hold again.
 */
export interface Holds {
  /** Shows that the session is there, and adds to what it holds. Answers which of the inodes are gone. */
  hold(session: Session, inodes: readonly Inode[]): Promise<{ gone: Inode[] }>;
  /** Of whomever. */
  hasSessions(): Promise<boolean>;
  isHeldByOthers(session: Session, inode: Inode): Promise<boolean>;
  release(session: Session, inodes: readonly Inode[] | "all"): Promise<void>;
}

/**
 * Chooses nodes for the copies that a chunk still lacks. `copies` also names, as `deleting`, each node that
 * is about to delete the same bytes for another store: what is written there now would go with them.
 * `usedAtHosts`: what copies take at other members, in whatever state.
 */
export type ChooseNodes = (
  chunk: OfferedChunk,
  copies: readonly { readonly node: GlobalName; readonly state: CopyState }[],
  usedAtHosts: ReadonlyMap<GlobalName, number>,
) => readonly GlobalName[];

export interface ConfirmedCopies {
  readonly node: GlobalName;
  readonly chunks: readonly ChunkId[];
}

export interface Garbage {
  readonly node: GlobalName;
  readonly chunks: readonly ChunkId[];
}

/**
 * Which chunks exist and where. A copy is `offered` when a ticket to write it was issued, `stored`
 * when the node's receipt was seen. A chunk is garbage when no file refers to it and no live upload
 * has announced it.
 */
export interface ChunkMap {
  /**
   * Announces chunks on behalf of an upload, which protects them from collection, records the copies
   * that `choose` asks for as offered, and returns them. Survives a crash of the process; after a
   * power failure the upload has to announce again.
   */
  offer(
    announcement: {
      readonly upload: string;
      readonly store: Inode;
      readonly chunks: readonly OfferedChunk[];
      readonly confirmed: readonly ConfirmedCopies[];
    },
    choose: ChooseNodes,
  ): Promise<{ targets: (readonly GlobalName[])[]; stored: number[] }>;
  /**
   * Records as offered what `offer` could not, because the consent of others had to be asked for: copies of chunks that it announced.
   * Answers those that stand; where the same bytes are being deleted, none does. As durable as `offer`.
   */
  offerAlso(store: Inode, copies: readonly ConfirmedCopies[]): Promise<ConfirmedCopies[]>;
  /**
   * Publishes files, all or none, durable when it resolves unless told. `conflict` when another content stands there
   * than `replaces` says or a chunk has no stored copy; `quota_exceeded` when the store's quota would be passed; `too_large` when changes
   * leave a file in too many pieces.
   */
  commit(request: {
    readonly upload: string;
    readonly files: readonly FileCommit[];
    readonly confirmed: readonly ConfirmedCopies[];
    readonly last: boolean;
    readonly isRelaxed?: boolean | undefined;
    readonly owner: string;
  }): Promise<{ attrs: Attr[]; degradedChunks: number }>;
  /** With `deleting` also where another store's copy of the same bytes is being deleted: new bytes there could vanish with them. */
  copiesOf(store: Inode, chunks: readonly ChunkId[]): Promise<(readonly { readonly node: GlobalName; readonly state: CopyState }[])[]>;
  /** What a check of copies on a node has shown, whatever store they belong to. */
  markCopies(
    node: GlobalName,
    states: readonly { readonly chunk: ChunkId; readonly state: "stored" | "damaged" | "missing" }[],
  ): Promise<void>;
  /** Takes copies that nothing needs out of use, up to `limit` of each node; they stay `deleting` until `forgetCopies`. */
  collectGarbage(limit: number): Promise<Garbage[]>;
  /** The node has confirmed that these are gone. */
  forgetCopies(garbage: Garbage): Promise<void>;
  /** Frees what removed trees still hold, and what nobody holds open any more, in bounded steps; true while there is more to do. */
  reclaim(): Promise<boolean>;
}

export interface SurplusChunk {
  readonly id: ChunkId;
  readonly storedBytes: number;
  readonly copies: readonly { readonly node: GlobalName; readonly state: CopyState }[];
}

export interface CopyRelease {
  readonly chunk: ChunkId;
  /** Whose copy goes. */
  readonly node: GlobalName;
  /** Whose copies make it dispensable. */
  readonly kept: readonly GlobalName[];
}

/** Copies beyond what a store asks for. */
export interface Surplus {
  /** Chunks in use with more stored copies than the store asks for, by their ids, those greater than `after`. */
  surplusOf(store: Inode, page: { readonly after?: ChunkId | undefined; readonly limit: number }): Promise<SurplusChunk[]>;
  /**
   * Takes copies out of use, to be deleted as garbage, each only while as many of `kept` are stored as the store asks for.
   * Answers how many went.
   */
  releaseCopies(store: Inode, releases: readonly CopyRelease[]): Promise<number>;
}

export interface StoreRegistry {
  createStore(request: { readonly name: string; readonly policy: StorePolicy; readonly owner: string }): Promise<Store>;
  /** Copies on `unusable` nodes do not count. */
  listStores(unusable?: readonly GlobalName[]): Promise<Store[]>;
  storeByName(name: string): Promise<Store>;
  policyOf(store: Inode): Promise<StorePolicy>;
  setStore(name: string, policy: Partial<StorePolicy>): Promise<Store>;
  storeKey(inode: Inode): Promise<{ key: Uint8Array; encrypt: boolean }>;
}

export interface KnownNode {
  readonly name: GlobalName;
  readonly publicKeyRaw: Uint8Array;
  readonly address: string;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly freeBytes: number;
  readonly chunkCount: number;
  readonly version: string;
  readonly lastSeenMs: number;
  /** What it keeps for other members. Not kept: undefined until the node has said so. */
  readonly guests?: Heartbeat["guests"];
}

/** Own nodes. */
export interface NodeRegistry {
  listNodes(): Promise<KnownNode[]>;
  /** Inserts or replaces. */
  saveNodes(nodes: readonly KnownNode[]): Promise<void>;
}

/** A node of another member that keeps copies for this one. */
export interface HostNode {
  readonly name: GlobalName;
  readonly member: GlobalName;
  readonly publicKeyRaw: Uint8Array;
  readonly address: string;
}

export interface HostRegistry {
  listHostNodes(): Promise<HostNode[]>;
  /** By member: what copies there take, in whatever state. */
  usedAtHosts(): Promise<ReadonlyMap<GlobalName, number>>;
  /** Inserts or replaces. */
  saveHostNodes(nodes: readonly HostNode[]): Promise<void>;
  /** What this member lends to others; 0 until it is set. */
  pledge(): Promise<number>;
  setPledge(bytes: number, by: GlobalName): Promise<void>;
}

export interface ChunkTotals {
  readonly files: number;
  readonly chunks: number;
  /** Chunks in use with fewer usable copies than their store asks for. */
  readonly degradedChunks: number;
  /** Chunks in use without any usable copy. */
  readonly lostChunks: number;
}

export interface MetadataParts
  extends Namespace,
    Attributes,
    Holds,
    ChunkMap,
    Surplus,
    StoreRegistry,
    NodeRegistry,
    HostRegistry,
    EnrolmentRegistry,
    GrantRegistry,
    InviteRegistry,
    PeerRegistry,
    AuditTrail {}

/** Who asks, and the id of what is asked for; ids of different callers have nothing to do with each other. */
export interface ChangeRequest extends RequestId {
  readonly caller: GlobalName;
  /** Of the client that asks; see `observeChanges`. */
  readonly session?: string | undefined;
}

export interface MetadataStore extends MetadataParts {
  /**
   * For one durable change. If this request was made before, nothing is changed and the answer is the one of
   * then; else the change and its answer are recorded in one transaction. A change that fails leaves no record.
   * `conflict` for a request that was overtaken by a later one of its slot. Remembered for `requestRememberedMs`.
   */
  once(request: ChangeRequest): MetadataParts;
  /** The same, with changes that are made by the client of that session. */
  by(session: string | undefined): MetadataParts;
  /** Hears what each change has changed and whose it was, as soon as it is as durable as it will be answered to be. One at a time. */
  observeChanges(listener: ChangeListener): Disposable;
  /** All that was committed before. */
  makeDurable(): Promise<void>;
  /** Copies on `unusable` nodes do not count. */
  totals(unusable: readonly GlobalName[]): Promise<ChunkTotals>;
  close(): Promise<void>;
}
