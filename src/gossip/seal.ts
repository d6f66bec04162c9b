/**
 * Signing statements, opening signed ones, and messages as bytes.
 *
 * Invariant: nothing unverified changes what is known. A statement is opened only with the key of the
 * member that it must be signed by, and only if it is news: what is known already costs no signature
 * check, so repeating old statements is the cheapest thing to refuse. It only spares its sender an answer.
 */
import { createHash, verify } from "node:crypto";
import { decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import { kindOfEnvelope, openEnvelope, type SignedKind, sealEnvelope, signedInput } from "../../protocol/envelope.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import {
  aliveSchema,
  gossipMessageBytesMax,
  gossipMessageSchema,
  presenceSchema,
  recordSchema,
  statementsPerMessageMax,
  suspectSchema,
} from "../../protocol/gossip.ts";
import { decodeRecordBody } from "../../protocol/gossip-records.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import { publicKeyFromRaw } from "../pki/keys.ts";
import { type Message, type News, toWire } from "./messages.ts";
import { keyOf, type Seal, type Statement, signerOf, type Unsigned } from "./statements.ts";
import { type Digest, slotOf } from "./trie.ts";

const schemas = { alive: aliveSchema, suspect: suspectSchema, record: recordSchema, presence: presenceSchema } as const;

/** `sign` signs with the key that the others know as this member's. */
export function createSeal(sign: (input: Uint8Array) => Uint8Array): Seal {
  return (<U extends Unsigned>(unsigned: U) => {
    const { kind, ...fields } = unsigned;
    const body = encodeMessage({ version: 1, ...fields });
    const sealed = sealEnvelope(kind, { body, signature: sign(signedInput(kind, body)) });
    return signed(unsigned, sealed);
  }) as Seal;
}

export function encodeGossip(message: Message): Uint8Array<ArrayBuffer> {
  return encodeMessage(toWire(message));
}

export interface Opener {
  /** Raw Ed25519 public key; undefined for a member that is not trusted here. */
  readonly keyOf: (member: GlobalName) => Uint8Array | undefined;
  /** Whether a statement of this content would change anything. Asked before the signature is checked. */
  readonly isNews: (statement: News) => boolean;
}

/** What was left out of a message, and why. `forged` is the sender's doing: nobody honest passes on what does not verify. */
export interface Rejections {
  unknown: number;
  malformed: number;
  forged: number;
}

/** After so many forged statements in one message the rest is not looked at. */
const forgedPerMessageMax = 4;

export interface Decoded {
  /** With only those of its statements that verify and are news. */
  readonly message: Message;
  /** Statements that are no news here: not verified, and only good for not telling the sender what it knows. */
  readonly known: readonly News[];
  readonly rejections: Rejections;
}

/** Throws `too_large` or `invalid_argument` for bytes that are no message. */
export function decodeGossip(bytes: Uint8Array, opener: Opener): Decoded {
  if (bytes.length > gossipMessageBytesMax) {
    throw new CollectiveError("too_large", `a gossip message of ${bytes.length} bytes is more than ${gossipMessageBytesMax}`);
  }
  const { version: _, ...wire } = decodeMessage(gossipMessageSchema, bytes, "the gossip message");
  const statements = wire.kind === "sync" ? wire.statements : [];
  if (wire.news.length + statements.length > statementsPerMessageMax) {
    throw new CollectiveError("invalid_argument", `a gossip message carries at most ${statementsPerMessageMax} statements`);
  }
  const rejections: Rejections = { unknown: 0, malformed: 0, forged: 0 };
  const known: News[] = [];
  const openAll = (sealed: readonly Uint8Array[]): News[] =>
    sealed.flatMap((one) => {
      const statement = openStatement(one, opener, { rejections, known });
      return !statement || statement.kind === "presence" ? [] : [statement];
    });
  const news = openAll(wire.news);
  if (wire.kind === "sync") return { message: { ...wire, news, statements: openAll(statements) }, known, rejections };
  if (wire.kind !== "ack") return { message: { ...wire, news }, known, rejections };
  const proof = wire.proof && openStatement(wire.proof, opener, { rejections, known });
  return { message: { kind: "ack", news, proof: proof?.kind === "presence" ? proof : undefined }, known, rejections };
}

interface LeftOut {
  readonly rejections: Rejections;
  readonly known: News[];
}

function openStatement(sealed: Uint8Array, opener: Opener, { rejections, known }: LeftOut): Statement | undefined {
  if (rejections.forged >= forgedPerMessageMax) return undefined;
  const read = readStatement(sealed);
  if (!read) {
    rejections.malformed++;
    return undefined;
  }
  const { statement, input, signature } = read;
  const key = opener.keyOf(signerOf(statement));
  if (!key) {
    rejections.unknown++;
    return undefined;
  }
  if (statement.kind !== "presence" && !opener.isNews(statement)) {
    known.push(statement);
    return undefined;
  }
  if (verify(null, input, publicKeyFromRaw(key), signature)) return statement;
  rejections.forged++;
  return undefined;
}

interface Read {
  readonly statement: Statement;
  readonly input: Uint8Array;
  readonly signature: Uint8Array;
}

function isStatementKind(kind: SignedKind): kind is keyof typeof schemas {
  return kind in schemas;
}

/** Everything about it but the signature. Copied: what is kept of a statement must not keep the message it came in. */
function readStatement(bytes: Uint8Array): Read | undefined {
  const kind = kindOfEnvelope(bytes);
  if (kind === undefined || !isStatementKind(kind)) return undefined;
  try {
    const sealed = Uint8Array.from(bytes);
    const { signature, body } = openEnvelope(kind, sealed);
    const { version: _, ...fields } = decodeMessage<(typeof schemas)[typeof kind]>(schemas[kind], body, `the statement ${kind}`);
    const statement = signed({ kind, ...fields } as Unsigned, sealed);
    if (statement.kind === "record" && statement.body.length > 0) decodeRecordBody(statement.topic, statement.body);
    return { statement, signature, input: signedInput(kind, body) };
  } catch (error) {
    if (error instanceof CollectiveError) return undefined;
    throw error;
  }
}

function signed(unsigned: Unsigned, sealed: Uint8Array): Statement {
  const key = keyOf(unsigned);
  return { ...unsigned, sealed, key, slot: slotOf(key), digest: digestOf(sealed) };
}

function digestOf(sealed: Uint8Array): Digest {
  const hash = createHash("sha256").update(sealed).digest();
  return { high: hash.readUInt32BE(0), low: hash.readUInt32BE(4) };
}
