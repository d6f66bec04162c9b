/**
 * Serves the control API over HTTP/2 and 1.1, TLS 1.3, with client certificates.
 *
 * The handshake asks for a certificate and lets any through; `identify` then refuses, before a byte
 * of the request is read, everything that is not signed by the authority of its own site, or was
 * revoked. Refusing inside the handshake would show the caller a reset connection instead of a reason.
 * Two routes are for strangers (protocol/root-routes.ts): they learn what the handshake has proved, and judge for themselves.
 */
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from "node:http2";
import type { Server as NetServer, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { getRequestListener } from "@hono/node-server";
import { CollectiveError } from "../../protocol/errors.ts";
import { renewableAfterExpiryMs } from "../../protocol/limits.ts";
import type { Clock } from "../core/clock.ts";
import { parseCertificate } from "../pki/certificate.ts";
import type { Credentials } from "../pki/credentials.ts";
import type { Caller, Identify, StrangerOf } from "./control-app.ts";
import { serverTls } from "./tls.ts";

export interface ControlServer {
  readonly port: number;
  /** New certificate or trust bundle; connections and requests under way go on. */
  reload(credentials: Credentials): void;
  /** Lets requests under way finish for a moment, then closes every connection. Idempotent. */
  stop(): Promise<void>;
}

export interface ControlServerOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: Credentials;
  readonly clock: Clock;
  /** Throws for whom is refused in spite of a good certificate. Asked at every request. */
  readonly admit: (caller: Caller) => void;
  readonly app: (identify: Identify, strangerOf: StrangerOf) => { fetch(request: Request, env: unknown): Response | Promise<Response> };
}

const stopGraceMs = 3_000;
/** Of the HTTP/2 implementation, in MB; the default resets sessions with large answers under way. */
const sessionMemoryMb = 64;

interface Verdict {
  readonly caller: Caller;
  readonly credentials: Credentials;
  readonly notAfterMs: number;
}

export async function startControlServer(options: ControlServerOptions): Promise<ControlServer> {
  let current = options.credentials;
  const verdicts = new WeakMap<object, Verdict>();
  const refused = new WeakSet<object>();
  const verdictOn = ({ connection, socket }: Connection, accept: "valid" | "expired"): Verdict => {
    const known = verdicts.get(connection);
    const nowMs = options.clock.wallMs();
    if (known && known.credentials === current && known.notAfterMs > nowMs) return known;
    const verdict = judge(socket, { credentials: current, nowMs, accept });
    verdicts.set(connection, verdict);
    return verdict;
  };
  const identify: Identify = (bindings, accept) => {
    const at = connectionOf(bindings);
    try {
      const { caller } = verdictOn(at, accept);
      options.admit(caller);
      return caller;
    } catch (error) {
      refused.add(at.connection);
      throw error;
    }
  };
  const app = options.app(identify, strangerOf);
  const listener = getRequestListener((request, env) => app.fetch(request, env), { overrideGlobalObjects: false });
  const server = createSecureServer(
    {
      ...serverTls(current),
      allowHTTP1: true,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: "TLSv1.3",
      maxSessionMemory: sessionMemoryMb,
    },
    (request, response) => void listener(request, response),
  );
  const connections = trackConnections(server);
  await listen(server, options);
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : options.port,
    reload: (credentials) => {
      current = credentials;
      (server as unknown as TlsServer).setSecureContext({ ...serverTls(credentials), minVersion: "TLSv1.3" });
      // Their handshakes were judged by what was trusted then; whoever is trusted now needs a new one.
      connections.closeSessions((session) => refused.has(session));
    },
    stop: () => connections.stop(options.clock),
  };
}

/** Node documents this for HTTP/2 servers too; its types only know it for TLS servers. */
interface TlsServer {
  setSecureContext(options: { cert: string; key: string; ca: string[]; minVersion: "TLSv1.3" }): void;
}

interface NodeBindings {
  readonly incoming: { readonly socket: TLSSocket; readonly stream?: { readonly session?: ServerHttp2Session } };
}

interface Connection {
  /** Stands for it: the HTTP/2 session, or the socket. */
  readonly connection: object;
  readonly socket: TLSSocket;
}

function connectionOf(bindings: unknown): Connection {
  const { incoming } = bindings as NodeBindings;
  const session = incoming.stream?.session;
  return session ? { connection: session, socket: session.socket as TLSSocket } : { connection: incoming.socket, socket: incoming.socket };
}

const strangerOf: StrangerOf = (bindings) => {
  const { socket } = connectionOf(bindings);
  return { certificateRaw: socket.getPeerCertificate(false)?.raw, source: socket.remoteAddress ?? "unknown" };
};

interface Judgement {
  readonly credentials: Credentials;
  readonly nowMs: number;
  readonly accept: "valid" | "expired";
}

function judge(socket: TLSSocket, { credentials, nowMs, accept }: Judgement): Verdict {
  const raw = socket.getPeerCertificate(false)?.raw;
  if (!raw)
    throw new CollectiveError("not_authenticated", "no client certificate was presented", {
      hint: "join first, or name the context to use with --context",
    });
  const caller = credentials.trust.identify({ raw }, nowMs, accept === "expired" ? renewableAfterExpiryMs : 0);
  const { notAfterMs } = parseCertificate(raw).info;
  // Our own reading has accepted it; the TLS library must agree, on name constraints too.
  const reason = String(socket.authorizationError);
  const isMerelyExpired = accept === "expired" && nowMs > notAfterMs && reason === "CERT_HAS_EXPIRED";
  if (!socket.authorized && !isMerelyExpired)
    throw new CollectiveError("not_authenticated", `the client certificate was refused: ${reason}`);
  return { caller, credentials, notAfterMs };
}

interface Connections {
  /** Lets what is under way on them finish. */
  closeSessions(which: (session: ServerHttp2Session) => boolean): void;
  stop(clock: Clock): Promise<void>;
}

function trackConnections(server: Http2SecureServer): Connections {
  const sessions = new Set<ServerHttp2Session>();
  const sockets = new Set<Socket>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    // A connection that breaks is the client's business; without a listener it would end the process.
    session.on("error", () => undefined);
  });
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
  });
  server.on("tlsClientError", () => undefined);
  let stopped: Promise<void> | undefined;
  const stop = async (clock: Clock): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const session of sessions) session.close();
    const cut = (async () => {
      await clock.sleep(sockets.size === 0 ? 0 : stopGraceMs);
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
    })();
    await Promise.race([closed, cut]);
  };
  return {
    closeSessions: (which) => {
      for (const session of sessions) if (which(session)) session.close();
    },
    stop: (clock) => {
      stopped ??= stop(clock);
      return stopped;
    },
  };
}

export interface ListenPlace {
  readonly host: string;
  readonly port: number;
  /** That chooses it, `--address` unless told. */
  readonly flag?: string;
}

export function listenError(error: unknown, { host, port, flag = "--address" }: ListenPlace): CollectiveError {
  const code = (error as { code?: string }).code;
  const where = `${host}:${port}`;
  if (code === "EADDRINUSE") {
    return new CollectiveError("conflict", `the address ${where} is in use`, {
      cause: error,
      hint: `stop the other program, or choose another address with ${flag}`,
    });
  }
  if (code === "EACCES")
    return new CollectiveError("permission_denied", `this user may not listen on ${where}`, {
      cause: error,
      hint: "choose a port above 1023",
    });
  return new CollectiveError("configuration", `cannot listen on ${where}: ${(error as Error).message}`, { cause: error });
}

export function listen(server: Pick<NetServer, "listen" | "once" | "off">, where: ListenPlace): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: unknown): void => reject(listenError(error, where));
    server.once("error", onError);
    server.listen(where.port, where.host, () => {
      server.off("error", onError);
      resolve();
    });
  });
}
