/**
 * Stores batches of sealed chunks: asks which are lacking, sends each to its nodes in parallel, and
 * keeps the nodes' receipts for the next call to the coordinator.
 *
 * A node that fails is left out and the coordinator names another. A batch is stored when every
 * chunk has at least one copy and no other node would take more: fewer copies than the store asks
 * for are reported at commit, not refused.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { ChunkId, GlobalName, Inode } from "../../protocol/ids.ts";
import { inlineStoredBytesMax, uploadIdleMsMax } from "../../protocol/limits.ts";
import { type RouteOutput, routes } from "../../protocol/routes.ts";
import type { ChunkCodec, TicketedNode } from "../../protocol/schema.ts";
import { neverAnswered, ticketRefused } from "../net/errors.ts";
import type { Remote } from "./remote.ts";
import { rightsEnded } from "./rights-ended.ts";

export interface PreparedChunk {
  readonly id: ChunkId;
  readonly data: Uint8Array;
  readonly codec: ChunkCodec;
}

export interface NodeReceipt {
  readonly node: GlobalName;
  readonly receipt: Uint8Array;
}

export interface Upload {
  readonly token: string;
  /** Resolves when the chunks are stored as well as the nodes allow. Their memory may be used again then. */
  store(store: Inode, chunks: readonly PreparedChunk[], signal?: AbortSignal): Promise<{ sentBytes: number }>;
  /**
   * Runs a call that shows the coordinator all receipts it may not have seen: those that no answered
   * call has carried. Calls overtake each other on their way, so some are shown more than once.
   */
  showReceipts<T>(call: (receipts: readonly NodeReceipt[]) => Promise<T>): Promise<T>;
  /** Until it is disposed, what was announced is not collected, however long nothing is sent. */
  keepAlive(): Disposable;
}

const attemptsMax = 5;
const uploadTokenBytes = 16;
/** So often that some may fail before the upload counts as over. */
const keepAliveIntervalMs = uploadIdleMsMax / 6;

export function createUpload(remote: Remote): Upload {
  const token = Buffer.from(remote.random.bytes(uploadTokenBytes)).toString("base64url");
  const receipts = new Set<NodeReceipt>();
  const showReceipts = async <T>(call: (receipts: readonly NodeReceipt[]) => Promise<T>): Promise<T> => {
    const shown = [...receipts];
    const answer = await call(shown);
    for (const receipt of shown) receipts.delete(receipt);
    return answer;
  };
  /** Sends what one node is to have; the ids it did not take are answered with the reason. */
  const send = async (node: TicketedNode, chunks: readonly PreparedChunk[], signal?: AbortSignal): Promise<SendResult> => {
    const small = chunks.length > 1 && chunks.every((chunk) => chunk.data.length <= inlineStoredBytesMax);
    const groups = small ? [chunks] : chunks.map((chunk) => [chunk]);
    const results = await Promise.all(groups.map((group) => sendGroup(node, group, signal)));
    return { failed: results.flatMap((result) => result.failed), reason: results.find((result) => result.reason)?.reason };
  };
  const sendGroup = async (node: TicketedNode, group: readonly PreparedChunk[], signal?: AbortSignal): Promise<SendResult> => {
    try {
      const [first] = group;
      const receipt =
        group.length === 1 && first ? await remote.data.put(node, first, { signal }) : await remote.data.putMany(node, group, { signal });
      receipts.add({ node: node.node, receipt });
      return { failed: [], reason: undefined };
    } catch (thrown) {
      const error = toCollectiveError(thrown);
      if (error.code === "cancelled" || error.code === "internal") throw error;
      if (ticketRefused(error)) return { failed: group.map((chunk) => chunk.id), reason: error };
      // A full node is no news for the person: another one takes it, or the command says so.
      const level = error.code === "no_space" || remote.hasFailedLately(node.node) ? "info" : "warn";
      remote.log[level]("node did not take chunks", { node: node.node, code: error.code, error: error.message });
      if (error.code !== "no_space") remote.noteFailure(node.node);
      return { failed: group.map((chunk) => chunk.id), reason: error };
    }
  };
  let lastStore: Inode | undefined;
  const touch = async (): Promise<void> => {
    if (lastStore === undefined) return;
    const request = { upload: token, store: lastStore, chunks: [], exclude: [] };
    try {
      await showReceipts((shown) => remote.control.call(routes.allocate, { ...request, receipts: [...shown] }));
    } catch (error) {
      remote.log.debug("upload was not kept alive, trying again", { error: toCollectiveError(error).message });
    }
  };
  const store = async (storeInode: Inode, given: readonly PreparedChunk[], signal?: AbortSignal): Promise<{ sentBytes: number }> => {
    lastStore = storeInode;
    const distinct = new Map(given.map((chunk) => [chunk.id, chunk]));
    const exclude = new Set<GlobalName>();
    /** That were not tried now: left out for as long as there are others. */
    const doubtful = new Set<GlobalName>(remote.failedLately());
    const refused = new Set<GlobalName>();
    let reason: CollectiveError | undefined;
    let sentBytes = 0;
    for (let attempt = 0; attempt < attemptsMax && distinct.size > 0; attempt++) {
      const chunks = [...distinct.values()];
      const plan = await allocate(chunks);
      const byNode = plan.nodes.map((node, index) => ({ node, chunks: chunks.filter((_, at) => plan.targets[at]?.includes(index)) }));
      const results = await Promise.all(byNode.map((part) => send(part.node, part.chunks, signal)));
      const failed = new Set(results.flatMap((result) => result.failed));
      for (const [index, result] of results.entries()) {
        const part = byNode[index];
        if (!part) continue;
        // With a new ticket the node may take them; it is asked once more.
        const isFirstRefusal = ticketRefused(result.reason) && !refused.has(part.node.node);
        if (isFirstRefusal) refused.add(part.node.node);
        else if (result.reason) exclude.add(part.node.node);
        reason = result.reason ?? reason;
        sentBytes += part.chunks.reduce((sum, chunk) => sum + (failed.has(chunk.id) ? 0 : chunk.data.length), 0);
      }
      for (const chunk of chunks) if (!failed.has(chunk.id)) distinct.delete(chunk.id);
    }
    // A last question decides whether what is left has a copy at all.
    const plan = distinct.size > 0 ? await allocate([...distinct.values()]) : undefined;
    if (plan?.stored.some((copies) => copies === 0)) throw reason ?? new CollectiveError("unavailable", "no node took the data");
    return { sentBytes };

    async function allocate(chunks: readonly PreparedChunk[]): Promise<RouteOutput<typeof routes.allocate>> {
      const offered = chunks.map((chunk) => ({ id: chunk.id, storedBytes: chunk.data.length, codec: chunk.codec }));
      try {
        return await showReceipts((shown) =>
          remote.control.call(
            routes.allocate,
            { upload: token, store: storeInode, chunks: offered, exclude: [...exclude, ...doubtful], receipts: [...shown] },
            { signal },
          ),
        );
      } catch (error) {
        if (toCollectiveError(error).code === "unavailable" && !neverAnswered(error) && doubtful.size > 0) {
          doubtful.clear();
          return await allocate(chunks);
        }
        if (reason && ticketRefused(reason)) throw rightsEnded(toCollectiveError(error), reason);
        // "No node took it" is better explained by what the last node said.
        throw reason?.code === "no_space" && toCollectiveError(error).code === "unavailable" ? reason : error;
      }
    }
  };
  return { token, store, showReceipts, keepAlive: () => remote.clock.every(keepAliveIntervalMs, () => void touch()) };
}

interface SendResult {
  readonly failed: ChunkId[];
  readonly reason: CollectiveError | undefined;
}
