/**
 * Serves the bootstrap port: TLS 1.3 with the coordinator's certificate, and no certificate asked of the
 * caller. It is open to everybody, so everything about a connection is bounded: how many there are, in all
 * and from one address, and how long one lives, whatever it sends or does not send meanwhile.
 */
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { getRequestListener } from "@hono/node-server";
import type { Clock } from "../core/clock.ts";
import type { Credentials } from "../pki/credentials.ts";
import { listen } from "./control-server.ts";

export interface BootstrapServer {
  readonly port: number;
  /** A new certificate; connections under way go on. */
  reload(credentials: Credentials): void;
  /** Idempotent. */
  stop(): Promise<void>;
}

export interface BootstrapServerOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly app: (sourceOf: (bindings: unknown) => string) => { fetch(request: Request, env: unknown): Response | Promise<Response> };
  readonly limits?: Partial<ConnectionLimits>;
}

export interface ConnectionLimits {
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** From the first packet to the last, the handshake included. A redemption takes a fraction of a second. */
  readonly connectionLifeMs: number;
}

const defaultLimits: ConnectionLimits = { connectionsMax: 1_024, connectionsPerAddressMax: 512, connectionLifeMs: 30_000 };
const stopGraceMs = 3_000;

export async function startBootstrapServer(options: BootstrapServerOptions): Promise<BootstrapServer> {
  const app = options.app(sourceOf);
  const listener = getRequestListener((request, env) => app.fetch(request, env), { overrideGlobalObjects: false });
  const server = createSecureServer(
    { ...ownTls(options.credentials), allowHTTP1: true },
    (request, response) => void listener(request, response),
  );
  const connections = boundConnections(server, { ...defaultLimits, ...options.limits }, options.clock);
  await listen(server, { ...options, flag: "--bootstrap-address" });
  const address = server.address();
  let stopped: Promise<void> | undefined;
  return {
    port: typeof address === "object" && address ? address.port : options.port,
    reload: (credentials) => (server as unknown as TlsServer).setSecureContext(ownTls(credentials)),
    stop: () => {
      stopped ??= stop(server, connections, options.clock);
      return stopped;
    },
  };
}

/** Node documents this for HTTP/2 servers too; its types only know it for TLS servers. */
interface TlsServer {
  setSecureContext(options: ReturnType<typeof ownTls>): void;
}

function ownTls({ certificatePem, privateKeyPem }: Credentials) {
  return { cert: certificatePem, key: privateKeyPem, minVersion: "TLSv1.3" } as const;
}

function sourceOf(bindings: unknown): string {
  const { incoming } = bindings as { readonly incoming: { readonly socket: TLSSocket; readonly stream?: ServerHttp2Stream } };
  const socket = incoming.stream?.session?.socket ?? incoming.socket;
  return socket.remoteAddress ?? "unknown";
}

interface Connections {
  readonly count: number;
  cutAll(): void;
}

/** Counted from the first packet on: a handshake that never ends is a connection, too. */
function boundConnections(server: Http2SecureServer, limits: ConnectionLimits, clock: Clock): Connections {
  const open = new Set<Socket>();
  const perAddress = new Map<string, number>();
  const count = (address: string, change: 1 | -1): void => {
    const now = (perAddress.get(address) ?? 0) + change;
    if (now > 0) perAddress.set(address, now);
    else perAddress.delete(address);
  };
  server.on("connection", (socket: Socket) => {
    // A connection that breaks is the caller's business; without a listener it would end the process.
    socket.on("error", () => undefined);
    const address = socket.remoteAddress ?? "unknown";
    if (open.size >= limits.connectionsMax || (perAddress.get(address) ?? 0) >= limits.connectionsPerAddressMax) {
      socket.destroy();
      return;
    }
    open.add(socket);
    count(address, 1);
    const ended = new AbortController();
    socket.once("close", () => {
      ended.abort();
      open.delete(socket);
      count(address, -1);
    });
    clock.sleep(limits.connectionLifeMs, ended.signal).then(
      () => socket.destroy(),
      () => undefined,
    );
  });
  server.on("secureConnection", (socket: TLSSocket) => socket.on("error", () => undefined));
  server.on("session", (session) => session.on("error", () => undefined));
  server.on("tlsClientError", () => undefined);
  return {
    get count() {
      return open.size;
    },
    cutAll: () => {
      for (const socket of open) socket.destroy();
    },
  };
}

async function stop(server: Http2SecureServer, connections: Connections, clock: Clock): Promise<void> {
  const enough = new AbortController();
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const cut = async (): Promise<void> => {
    await clock.sleep(connections.count === 0 ? 0 : stopGraceMs, enough.signal);
    connections.cutAll();
  };
  await Promise.race([closed, cut()]).finally(() => enough.abort());
}
