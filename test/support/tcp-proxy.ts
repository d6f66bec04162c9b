/** A piece of network between two processes that a test can cut: TCP on loopback, passed on byte by byte. */
import { createConnection, createServer, type Socket } from "node:net";
import { loopback } from "./member.ts";

export interface TcpProxy extends AsyncDisposable {
  /** `host:port` to connect to. */
  readonly address: string;
  /** Connections that were made to it so far. */
  readonly accepted: number;
  /** Where it leads to, `host:port`. */
  lead(to: string): void;
  /**
   * Nothing comes through from now on, and nobody is told: what is sent is lost, and connections are made that nobody
   * answers on. As with a router that has forgotten them, connections that were open then stay dead for ever.
   */
  cut(): void;
  /** New connections pass again. */
  heal(): void;
}

export async function startTcpProxy(to = ""): Promise<TcpProxy> {
  let target = to;
  let isCut = false;
  let accepted = 0;
  const passing = new Set<{ dead: boolean }>();
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // Its other end closes then, and that is all there is to it.
    socket.on("error", () => socket.destroy());
  };
  const server = createServer((near) => {
    accepted++;
    track(near);
    const pair = { dead: isCut };
    if (isCut) return;
    const [host, port] = [target.slice(0, target.lastIndexOf(":")), Number(target.slice(target.lastIndexOf(":") + 1))];
    const far = createConnection({ host, port });
    track(far);
    passing.add(pair);
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on("data", (bytes) => {
        if (pair.dead || into.write(bytes)) return;
        from.pause();
        into.once("drain", () => from.resume());
      });
      from.on("close", () => {
        passing.delete(pair);
        if (!pair.dead) into.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, loopback, resolve));
  const at = server.address();
  if (at === null || typeof at === "string") throw new Error("the proxy has no port");
  return {
    address: `${loopback}:${at.port}`,
    get accepted() {
      return accepted;
    },
    lead: (next) => {
      target = next;
    },
    cut: () => {
      isCut = true;
      for (const pair of passing) pair.dead = true;
    },
    heal: () => {
      isCut = false;
    },
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** That nobody listens on yet: who is told to say another address to others must be told its own, too. */
export async function unusedAddresses(count: number): Promise<string[]> {
  const held = Array.from({ length: count }, () => createServer());
  const found: string[] = [];
  for (const server of held) {
    await new Promise<void>((resolve) => server.listen(0, loopback, resolve));
    const at = server.address();
    found.push(`${loopback}:${typeof at === "object" && at ? at.port : 0}`);
  }
  await Promise.all(held.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  return found;
}
