/**
 * Notices a connection that leads nowhere any more: a router has forgotten it, or the other machine has gone without a word.
 *
 * Bun keeps HTTP/2 connections and takes them again for as long as the TLS options say the same; a time-out ends a
 * request and not its connection, so all requests after it would be sent into the same void. So connections have a number, which is
 * said with the authority's certificate, where PEM lets any text stand: another number is another connection. Whoever still waits on the
 * one that is given up need not wait until its own time is over.
 */
import type { Clock } from "../core/clock.ts";
import type { ClientTls } from "./tls.ts";

export interface ConnectionWatch {
  /** Of the connection to use now. */
  readonly number: number;
  /** Something is asked on the connection of that number, and the answer may take `quietMs` for lack of anything to say. */
  asked(number: number, quietMs?: number): void;
  answered(number: number): void;
  /** What was asked has run out of time. */
  timedOut(number: number): void;
  /** Calls when the connection of that number is given up, until it is disposed. */
  onGivenUp(number: number, giveUp: () => void): Disposable;
}

/** How long somebody may be kept waiting, with no answer to anything, before the next call goes over a new connection. */
export const connectionSilentMsMax = 3_000;

export function createConnectionWatch(clock: Pick<Clock, "monotonicMs">): ConnectionWatch {
  let number = 0;
  let waitingSinceMs: number | undefined;
  /** On the connection to use now. */
  const underWay = new Set<() => void>();
  return {
    get number() {
      return number;
    },
    asked: (on, quietMs = 0) => {
      const fromMs = clock.monotonicMs() + quietMs;
      if (on === number && (waitingSinceMs === undefined || waitingSinceMs > fromMs)) waitingSinceMs = fromMs;
    },
    answered: (on) => {
      if (on === number) waitingSinceMs = undefined;
    },
    timedOut: (on) => {
      if (on !== number || waitingSinceMs === undefined || clock.monotonicMs() - waitingSinceMs < connectionSilentMsMax) return;
      number++;
      waitingSinceMs = undefined;
      const waiting = [...underWay];
      underWay.clear();
      for (const giveUp of waiting) giveUp();
    },
    onGivenUp: (on, giveUp) => {
      if (on === number) underWay.add(giveUp);
      return { [Symbol.dispose]: () => void underWay.delete(giveUp) };
    },
  };
}

/** The same options for the same number, in what they say. */
export function numbered(tls: ClientTls, number: number): ClientTls {
  return number === 0 ? tls : { ...tls, ca: `connection ${number}\n${tls.ca}` };
}
