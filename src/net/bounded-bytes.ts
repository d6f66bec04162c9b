/** Answers of those who may send anything. */
import { CollectiveError } from "../../protocol/errors.ts";
import type { RequestFacts } from "./errors.ts";

export interface BoundedAnswer extends RequestFacts {
  readonly bytesMax: number;
}

/** What is longer is not read to its end: it must not fill the memory. Throws `unavailable`. */
export async function boundedBytes(response: Response, { peer, address, bytesMax }: BoundedAnswer): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += piece.length;
    if (bytes > bytesMax) throw new CollectiveError("unavailable", `${peer} at ${address} answered with more than it should`);
    pieces.push(piece);
  }
  return new Uint8Array(Buffer.concat(pieces));
}
