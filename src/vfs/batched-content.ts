/**
 * Small files that are committed at the same time, sent together: one upload and one commit for many. While a batch is on its way the next
 * one gathers, so a file alone does not wait. A batch that fails is stored file by file, and each fails for its own reason.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Inode } from "../../protocol/ids.ts";
import { chunksPerTicketMax, filesPerCommitMax, mebibyte } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Extent, FileCommit } from "../../protocol/schema.ts";
import type { Remote } from "../client/remote.ts";
import { createUpload, type PreparedChunk } from "../client/upload.ts";
import { chunkBytesFor } from "../codec/chunker.ts";
import { finishSeal, prepareSeal, sealedBytesMax } from "../codec/sealed-chunk.ts";
import { isZero } from "../core/buffers.ts";
import type { ContentWriter, StoredFile, StoreRequest } from "./store-content.ts";

interface Waiting {
  readonly request: StoreRequest;
  readonly resolve: (stored: StoredFile | Promise<StoredFile>) => void;
}

interface Queue {
  readonly waiting: Waiting[];
  underWay: number;
}

const smallBytesMax = mebibyte;
const batchBytesMax = 4 * mebibyte;
const batchesUnderWayMax = 2;

export function createBatchedWriter(single: ContentWriter): ContentWriter {
  const queues = new Map<Remote, Map<Inode, Queue>>();
  const queueOf = ({ remote, store }: StoreRequest): Queue => {
    const ofRemote = queues.get(remote) ?? new Map<Inode, Queue>();
    queues.set(remote, ofRemote);
    const queue = ofRemote.get(store) ?? { waiting: [], underWay: 0 };
    ofRemote.set(store, queue);
    return queue;
  };
  const run = async (queue: Queue): Promise<void> => {
    queue.underWay++;
    // Whatever is ready in this turn of the event loop joins.
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (let batch = takeBatch(queue.waiting); batch.length > 0; batch = takeBatch(queue.waiting)) await storeBatch(batch);
    queue.underWay--;
  };
  const storeBatch = async (batch: readonly Waiting[]): Promise<void> => {
    try {
      const stored = await storeTogether(batch.map(({ request }) => request));
      for (const [index, { resolve }] of batch.entries()) resolve(stored[index] as StoredFile);
    } catch {
      for (const { request, resolve } of batch) resolve(single.store(request));
    }
  };
  return {
    ...single,
    store: (request) => {
      if (!isSmall(request)) return single.store(request);
      const queue = queueOf(request);
      const { promise, resolve } = Promise.withResolvers<StoredFile>();
      queue.waiting.push({ request, resolve });
      if (queue.underWay < batchesUnderWayMax) void run(queue);
      return promise;
    },
  };
}

/** All of it is new. */
function isSmall({ unsaved: { sizeBytes, written, storedBytes } }: StoreRequest): boolean {
  if (sizeBytes > smallBytesMax) return false;
  return storedBytes === 0 || written.split({ start: 0, end: sizeBytes }).every(({ inside }) => inside);
}

function takeBatch(waiting: Waiting[]): Waiting[] {
  let [count, bytes, chunks] = [0, 0, 0];
  for (const { request } of waiting) {
    const { sizeBytes } = request.unsaved;
    bytes += sizeBytes;
    chunks += Math.ceil(sizeBytes / chunkBytesFor(sizeBytes));
    if (count === filesPerCommitMax || (count > 0 && (bytes > batchBytesMax || chunks > chunksPerTicketMax))) break;
    count++;
  }
  return waiting.splice(0, count);
}

/** All of one datastore. */
async function storeTogether(requests: readonly StoreRequest[]): Promise<StoredFile[]> {
  const [first] = requests;
  if (!first) return [];
  const { remote, store } = first;
  const upload = createUpload(remote);
  const keys = await remote.keysOf(store);
  const chunks: PreparedChunk[] = [];
  const files: FileCommit[] = [];
  for (const { file, unsaved, read } of requests) {
    const { sizeBytes } = unsaved;
    const plain = Buffer.concat(await read({ start: 0, end: sizeBytes }), sizeBytes);
    const chunkBytes = chunkBytesFor(sizeBytes);
    const extents: Extent[] = [];
    for (let start = 0; start < sizeBytes; start += chunkBytes) {
      const piece = plain.subarray(start, start + chunkBytes);
      if (isZero(piece)) {
        extents.push({ chunk: null, plainBytes: piece.length });
        continue;
      }
      const sealed = await finishSeal(prepareSeal(piece, keys), { keys, out: new Uint8Array(sealedBytesMax(piece.length)) });
      chunks.push({ id: sealed.id, data: sealed.stored, codec: sealed.codec });
      extents.push({ chunk: sealed.id, plainBytes: piece.length });
    }
    files.push({ ...file, sizeBytes, extents });
  }
  if (chunks.length > 0) await upload.store(store, chunks);
  for (const { onProgress } of requests) onProgress();
  const { attrs } = await upload.showReceipts((receipts) =>
    remote.control.call(routes.commit, { upload: upload.token, files, receipts: [...receipts], last: true }),
  );
  return requests.map(({ unsaved }, index) => {
    const attr = attrs[index];
    if (!attr) throw new CollectiveError("internal", "the coordinator answered for fewer files than it was asked to commit");
    unsaved.fragments.clear();
    return { attr, stored: unsaved.stored.next(attr, [{ start: 0, end: Number.MAX_SAFE_INTEGER }]) };
  });
}
