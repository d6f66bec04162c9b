/** How many bytes a gossip message has on the wire, without encoding it. */
import type { Message, SyncMessage } from "../../src/gossip/messages.ts";

export function gossipSizeBytes(message: Message): number {
  const envelope = 1 + "version".length + 1 + 1 + "kind".length + 1 + message.kind.length + 1 + 1 + "news".length + 1;
  return envelope + statementBytes(message.news) + ownBytes(message);
}

function ownBytes(message: Message): number {
  if (message.kind === "ping") return message.nonce ? 24 : 0;
  if (message.kind === "probe") return 24 + 8 + message.target.length + 13;
  if (message.kind === "ack") return message.proof ? 6 + binaryBytes(message.proof.sealed.length) : 0;
  return message.kind === "sync" ? syncBytes(message) : 0;
}

function syncBytes({ ranges, listings, wants, statements }: SyncMessage): number {
  const place = ({ space, path = "" }: { space: string; path?: string }) => 7 + space.length + 6 + path.length;
  const all = <T>(items: readonly T[], bytes: (item: T) => number) =>
    lengthBytes(items.length) + items.reduce((sum, item) => sum + bytes(item), 0);
  const heads = all(
    listings,
    (one) => 1 + place(one) + 6 + all(one.heads, ([key, counter]) => 2 + key.length + counterBytes(counter) + 11),
  );
  return (
    "ranges".length +
    "listings".length +
    "wants".length +
    "more".length +
    "statements".length +
    5 +
    1 +
    all(ranges, (one) => 1 + place(one) + 7 + 11) +
    heads +
    all(wants, (one) => 1 + 7 + one.space.length + 4 + 2 + one.key.length) +
    lengthBytes(statements.length) +
    statementBytes(statements)
  );
}

function statementBytes(statements: readonly { readonly sealed: Uint8Array }[]): number {
  return statements.reduce((sum, { sealed }) => sum + binaryBytes(sealed.length), lengthBytes(statements.length) - 1);
}

function lengthBytes(items: number): number {
  return items < 16 ? 1 : 3;
}

function binaryBytes(length: number): number {
  return length + (length < 256 ? 2 : 3);
}

function counterBytes(counter: number): number {
  return counter < 128 ? 1 : counter < 2 ** 16 ? 3 : counter < 2 ** 32 ? 5 : 9;
}
