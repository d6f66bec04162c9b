/** Asks a node as any program could, with whatever certificate and whatever it cares to say. */
import { connect as connectTls, type TLSSocket } from "node:tls";
import { decodeMessage } from "../../protocol/codec.ts";
import { dataPaths } from "../../protocol/data.ts";
import { errorBodySchema } from "../../protocol/error-body.ts";
import type { TestMember, TestNode } from "./member.ts";

export interface Presented {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

export interface RawRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | ReadableStream<Uint8Array>;
  readonly certificate: Presented | undefined;
}

export function chunkPath(id: string): string {
  return dataPaths.chunk.replace(":id", id);
}

/** Rejects when the connection does not come about. */
export async function askNode(member: TestMember, node: TestNode, request: RawRequest): Promise<{ status: number; code: string }> {
  const { certificate } = request;
  const init = {
    method: request.method,
    headers: request.headers ?? {},
    ...(request.body === undefined ? {} : { body: request.body }),
    tls: {
      ca: member.authority.certificatePem,
      serverName: node.name.replace("@", "."),
      ...(certificate ? { cert: certificate.certificatePem, key: certificate.privateKeyPem } : {}),
    },
  };
  const response = await fetch(`https://${node.address}${request.path}`, init as RequestInit);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (response.ok) return { status: response.status, code: "ok" };
  return { status: response.status, code: decodeMessage(errorBodySchema, bytes, "the error").code };
}

/** A connection to say what no client would say. */
export function rawConnection(member: TestMember, { address, name }: TestNode, { certificatePem, privateKeyPem }: Presented): TLSSocket {
  const [host, port] = address.split(":");
  const socket = connectTls({
    host: host ?? "",
    port: Number(port),
    servername: name.replace("@", "."),
    ca: member.authority.certificatePem,
    cert: certificatePem,
    key: privateKeyPem,
  });
  socket.on("error", () => undefined);
  return socket;
}
