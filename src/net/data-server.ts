/**
 * Serves the data API on Bun.serve, which moves bytes several times faster than node:http2. It
 * verifies client certificates in the handshake but cannot tell a handler whose it was: authority on
 * this path is the ticket alone.
 *
 * Bun.serve cannot exchange its trust bundle, so `reload` hands over: a second server takes the same
 * port, then the first one finishes what it has. That needs SO_REUSEPORT, which would also let a
 * second process of this user share the port unnoticed: `assertPortFree` looks first.
 */
import { constants } from "node:crypto";
import { createServer } from "node:net";
import type { Serve } from "bun";
import { batchBytesMax, mebibyte } from "../../protocol/limits.ts";
import type { Clock } from "../core/clock.ts";
import type { Credentials } from "../pki/credentials.ts";
import { listen } from "./control-server.ts";
import { serverTls } from "./tls.ts";

export interface DataServer {
  readonly port: number;
  reload(credentials: Credentials): void;
  /** Lets requests under way finish for a moment, then closes every connection. Idempotent. */
  stop(): Promise<void>;
}

export interface DataServerOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly fetch: (request: Request) => Response | Promise<Response>;
}

/** `Bun.serve` knows no least version; what it hands to the TLS library can rule the older ones out. */
const onlyTls13 = constants.SSL_OP_NO_TLSv1 | constants.SSL_OP_NO_TLSv1_1 | constants.SSL_OP_NO_TLSv1_2;
const idleTimeoutSeconds = 120;
const requestBytesMax = batchBytesMax + mebibyte;
/** A client that neither sends on nor hangs up must not keep a node from stopping. */
const stopGraceMs = 3_000;

export async function startDataServer(options: DataServerOptions): Promise<DataServer> {
  await assertPortFree(options);
  const open = (port: number, credentials: Credentials) =>
    Bun.serve({
      hostname: options.host,
      port,
      reusePort: true,
      http2: true,
      idleTimeout: idleTimeoutSeconds,
      maxRequestBodySize: requestBytesMax,
      tls: { ...serverTls(credentials), requestCert: true, rejectUnauthorized: true, secureOptions: onlyTls13 },
      fetch: options.fetch,
    } as Serve.Options<undefined>);
  let server = open(options.port, options.credentials);
  const port = server.port ?? options.port;
  /** What earlier credentials were served by, for as long as requests are under way there. */
  const retired = new Set<Bun.Server<undefined>>();
  const stop = async (): Promise<void> => {
    const enough = new AbortController();
    const servers = [server, ...retired];
    const closed = Promise.all(servers.map((one) => one.stop()));
    const cut = async (): Promise<void> => {
      await options.clock.sleep(stopGraceMs, enough.signal);
      for (const one of servers) void one.stop(true);
    };
    await Promise.race([closed, cut()]).finally(() => enough.abort());
  };
  let stopped: Promise<void> | undefined;
  return {
    port,
    reload: (credentials) => {
      const previous = server;
      server = open(port, credentials);
      retired.add(previous);
      void previous.stop().finally(() => retired.delete(previous));
    },
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

async function assertPortFree(where: { readonly host: string; readonly port: number }): Promise<void> {
  if (where.port === 0) return;
  const probe = createServer();
  await listen(probe, where);
  await new Promise<void>((resolve) => probe.close(() => resolve()));
}
