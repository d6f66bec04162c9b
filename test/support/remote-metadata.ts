/**
 * A metadata store as somebody far away sees it: every method that the control API offers goes
 * through a client, TLS, a real control server and its handlers to the store behind them. What only a
 * coordinator does (choosing nodes, garbage, its own registry) is asked of that store directly.
 */
import { type ChunkId, type GlobalName, type Inode, parseGlobalName } from "../../protocol/ids.ts";
import { chunksPerTicketMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { chunkPartOf, storeSchema } from "../../protocol/schema.ts";
import { systemRandom } from "../../src/core/random.ts";
import type { ConfirmedCopies, LocatedExtent, MetadataStore } from "../../src/meta/store.ts";
import type { ControlClient } from "../../src/net/control-client.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { createSigner, type Signer, signReceipt } from "../../src/pki/ticket.ts";
import type { TestMember } from "./member.ts";
import { knownNode } from "./metadata.ts";

/** Two, so that every layout of more than two chunks comes in pages. */
const layoutPageChunks = 2;

export async function remoteMetadata(member: TestMember, nodes: readonly GlobalName[]): Promise<MetadataStore> {
  const behind = member.metadata;
  const signers = new Map<GlobalName, Signer>(nodes.map((node) => [node, createSigner(generateKeyPair().privateKeyPem)]));
  for (const [name, { publicKeyRaw }] of signers) await member.service.directory.record({ name, publicKeyRaw }, knownNode(name));

  const receiptsOf = (confirmed: readonly ConfirmedCopies[]): { node: GlobalName; receipt: Uint8Array }[] =>
    confirmed.flatMap(({ node, chunks }) => batches(chunks).map((batch) => ({ node, receipt: receiptOf(node, batch) })));
  const receiptOf = (node: GlobalName, chunks: readonly ChunkId[]): Uint8Array => {
    const signer = signers.get(node);
    if (!signer) throw new Error(`${node} has no key`);
    return signReceipt(signer, { version: 1, node: parseGlobalName(node), chunks, storedAtMs: member.clock.nowMs });
  };
  const layoutOf = async ({ call }: ControlClient, inode: Inode): Promise<LocatedExtent[]> => {
    const extents: LocatedExtent[] = [];
    for (;;) {
      const page = await call(routes.layout, { inode, after: extents.at(-1)?.offset ?? -1, limit: layoutPageChunks });
      extents.push(...page.chunks.map(({ id, ...rest }) => ({ ...rest, chunk: id, ...chunkPartOf(rest) })));
      if (!page.more) return extents;
    }
  };

  const clientOf = (session: string): ControlClient => member.client(undefined, undefined, session);
  const remoteOver = ({ call }: ControlClient): MetadataStore => ({
    ...behind,
    once: ({ slot, number }) => {
      if (number !== 1) throw new Error("a client begins to count at 1");
      return remoteOver(member.client(undefined, { ...systemRandom, bytes: () => new Uint8Array(Buffer.from(slot, "base64url")) }));
    },
    resolve: (components) => call(routes.resolve, { components: [...components] }),
    getAttr: (inode) => call(routes.getAttr, { inode }),
    list: (inode, page) => call(routes.list, { inode, ...page }),
    makeDirectories: async (directories, { existing }) =>
      (await call(routes.makeDirectories, { directories: [...directories], existing })).attrs,
    makeSymlinks: async (links, { existing }) => (await call(routes.makeSymlinks, { links: [...links], existing })).attrs,
    lookup: async (entry) => (await call(routes.lookup, entry)).attr,
    makeNode: (node) => call(routes.makeNode, node),
    link: (inode, to) => call(routes.link, { inode, to }),
    exchange: async (one, other) => void (await call(routes.exchange, { one, other })),
    extendedAttributes: async (inode) => (await call(routes.extendedAttributes, { inode })).attributes,
    setExtendedAttribute: async (inode, attribute, existing) =>
      void (await call(routes.setExtendedAttribute, { inode, attribute, existing })),
    removeExtendedAttribute: async (inode, name) => void (await call(routes.removeExtendedAttribute, { inode, name })),
    hold: ({ token }, inodes) => clientOf(token).call(routes.hold, { inodes: [...inodes] }),
    release: async ({ token }, inodes) =>
      void (await clientOf(token).call(routes.release, { inodes: inodes === "all" ? inodes : [...inodes] })),
    setAttr: (inode, change) => call(routes.setAttr, { inode, ...change }),
    remove: async (entry, kind) => (await call(routes.remove, { ...entry, kind })).changedNs,
    rename: async (from, to, { replace }) => void (await call(routes.rename, { from, to, replace })),
    clone: (source, to, { replace }) => call(routes.clone, { source, to, replace }),
    usage: (inode) => call(routes.usage, { inode }),
    extents: async (inode, { offset, lengthBytes, limit }) =>
      (await layoutOf({ call }, inode))
        .filter((extent) => extent.offset < offset + lengthBytes && extent.offset + extent.plainBytes > offset)
        .slice(0, limit),
    commit: ({ upload, files, confirmed, last }) =>
      call(routes.commit, { upload, files: [...files], receipts: receiptsOf(confirmed), last }),
    createStore: ({ name, policy }) => call(routes.createStore, { name, policy }),
    // The administrator is told everything, so what comes is whole.
    listStores: async () => (await call(routes.listStores, {})).stores.map((listed) => storeSchema.parse(listed)),
    storeByName: (name) => call(routes.setStore, { name, policy: {} }),
    setStore: (name, policy) => call(routes.setStore, { name, policy }),
    storeKey: (store) => call(routes.storeKey, { store }),
    removeStore: (name) => call(routes.removeStore, { name, dryRun: false }),
  });
  return remoteOver(member.client());
}

function batches(chunks: readonly ChunkId[]): ChunkId[][] {
  const count = Math.ceil(chunks.length / chunksPerTicketMax);
  return Array.from({ length: count }, (_, index) => chunks.slice(index * chunksPerTicketMax, (index + 1) * chunksPerTicketMax));
}
