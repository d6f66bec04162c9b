/** Messages as the step function sees them: with opened statements in place of signed bytes. */
import type { GossipWireMessage } from "../../protocol/gossip.ts";
import type { Alive, GossipRecord, Presence, Statement, Suspect } from "./statements.ts";

export type News = Alive | Suspect | GossipRecord;

type WireOf<K extends GossipWireMessage["kind"]> = Extract<GossipWireMessage, { readonly kind: K }>;
type Opened<K extends GossipWireMessage["kind"]> = Readonly<Omit<WireOf<K>, "version" | "news">> & { readonly news: readonly News[] };

export type PingMessage = Opened<"ping">;
export type ProbeMessage = Opened<"probe">;
export type SyncMessage = Omit<Opened<"sync">, "statements"> & { readonly statements: readonly News[] };
export type SyncContent = Omit<SyncMessage, "kind" | "news">;
export type AckMessage = Omit<Opened<"ack">, "proof"> & { readonly proof?: Presence | undefined };
export type Message = PingMessage | ProbeMessage | Opened<"news"> | Opened<"nack"> | AckMessage | SyncMessage;

/** All that is signed in a message. */
export function statementsOf(message: Message): Statement[] {
  const proof = message.kind === "ack" && message.proof ? [message.proof] : [];
  return [...message.news, ...(message.kind === "sync" ? message.statements : []), ...proof];
}

/** `sealed` as it goes over the wire. */
export function toWire(message: Message): GossipWireMessage {
  const news = message.news.map((statement) => statement.sealed);
  if (message.kind === "sync") return { ...message, version: 1, news, statements: message.statements.map((statement) => statement.sealed) };
  if (message.kind === "ack") return { version: 1, kind: "ack", news, proof: message.proof?.sealed };
  return { ...message, version: 1, news };
}
