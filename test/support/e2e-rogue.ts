/** Strangers at the doors of real processes: their certificates, their requests, and servers that pretend. */
import { readFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import { errorBodySchema } from "../../protocol/error-body.ts";
import { dnsNameOf, type Identity, identityUri } from "../../protocol/ids.ts";
import type { Authority } from "../../src/pki/authority.ts";
import { type Leaf, type RogueLeaf, rogueLeaf } from "./pki.ts";

export interface TlsIdentity {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** Certificate and key as a process keeps them. */
export function identityIn(folder: string): TlsIdentity {
  return { certificatePem: readFileSync(join(folder, "cert.pem"), "utf8"), privateKeyPem: readFileSync(join(folder, "key.pem"), "utf8") };
}

/** A leaf with the names of an identity, from an authority that has no right to them, or with other faults. */
export function leafInTheNameOf(
  authority: Pick<Authority, "certificatePem" | "privateKeyPem">,
  identity: Identity,
  faults: Partial<RogueLeaf> = {},
): Promise<Leaf> {
  return rogueLeaf(authority, {
    commonName: identity.name,
    names: [
      { type: "url", value: identityUri(identity) },
      { type: "dns", value: dnsNameOf(identity) },
    ],
    purposes: identity.kind === "user" ? ["client"] : ["server", "client"],
    ...faults,
  });
}

export interface Door {
  readonly address: string;
  /** Of the server, and its authority. */
  readonly serverName: string;
  readonly authorityPem: string;
}

export interface StrangeRequest {
  readonly client?: TlsIdentity | undefined;
  readonly path: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array<ArrayBuffer>;
}

/** `code: message` of a refusal, `status body` of an answer, `refused: …` when there was none. */
export async function knock(door: Door, request: StrangeRequest): Promise<string> {
  const { client, path, method = "POST", headers = {}, body } = request;
  try {
    const response = await fetch(`https://${door.address}${path}`, {
      method,
      headers,
      keepalive: false,
      signal: AbortSignal.timeout(10_000),
      tls: {
        ca: door.authorityPem,
        serverName: door.serverName,
        ...(client && { cert: client.certificatePem, key: client.privateKeyPem }),
      },
      ...(body && { body }),
    });
    const bytes = await response.bytes();
    if (response.ok) return `${response.status} ${bytes.length} bytes`;
    const { code, message } = decodeMessage(errorBodySchema, bytes, "the error");
    return `${code}: ${message}`;
  } catch (error) {
    const code: unknown = error instanceof Error ? Reflect.get(error, "code") : undefined;
    return `refused: ${typeof code === "string" ? code : String(error)}`;
  }
}

/** What a control route answers. */
export function askControl(
  door: Door,
  client: TlsIdentity | undefined,
  route: { readonly path: string; readonly input: unknown },
): Promise<string> {
  return knock(door, { client, path: route.path, headers: { "content-type": "application/msgpack" }, body: encodeMessage(route.input) });
}

/** Bytes over a plain connection; answers what came back before the server ended it, or `silence`. */
export function plainTalk(address: string, bytes: string): Promise<string> {
  const [host = "", port = ""] = address.split(":");
  return new Promise((resolve) => {
    let heard = "";
    const socket = connectTcp({ host, port: Number(port) }, () => socket.write(bytes));
    const end = (): void => {
      socket.destroy();
      resolve(heard === "" ? "silence" : heard);
    };
    socket.on("data", (data) => {
      heard += data.toString("latin1");
    });
    socket.on("error", end);
    socket.on("close", end);
    socket.setTimeout(1_000, end);
  });
}

/** The protocol that a handshake with these versions ends in, or `refused`. */
export function handshake(door: Door, client: TlsIdentity, maxVersion: "TLSv1.2" | "TLSv1.3"): Promise<string> {
  const [host = "", port = ""] = door.address.split(":");
  return new Promise((resolve) => {
    const socket = connectTls({
      host,
      port: Number(port),
      maxVersion,
      ca: door.authorityPem,
      servername: door.serverName,
      cert: client.certificatePem,
      key: client.privateKeyPem,
    });
    const end = (answer: string): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("secureConnect", () => end(socket.getProtocol() ?? "unknown"));
    socket.on("error", () => end("refused"));
    socket.on("close", () => end("refused"));
    socket.setTimeout(5_000, () => end("silence"));
  });
}

export interface Pretender extends AsyncDisposable {
  readonly address: string;
  /** Of every request that reached it: method, path and authorization. None should. */
  readonly heard: readonly string[];
}

/** A server that answers everything, with the certificate it is given, or without TLS. */
export function pretend(leaf: TlsIdentity | undefined, { port = 0 }: { readonly port?: number } = {}): Pretender {
  const heard: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    fetch: (request) => {
      heard.push(`${request.method} ${new URL(request.url).pathname} ${request.headers.get("authorization") ?? ""}`);
      return new Response(encodeMessage({}));
    },
    ...(leaf && { tls: { cert: leaf.certificatePem, key: leaf.privateKeyPem, requestCert: true, rejectUnauthorized: false } }),
  });
  return { address: `127.0.0.1:${server.port}`, heard, [Symbol.asyncDispose]: () => server.stop(true) };
}
