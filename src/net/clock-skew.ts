/**
 * Tells a wrong clock from a certificate that is really out of date, for the person in front: the
 * server's own time, from the `date` of its answer, beside ours. Nothing but the wording of an error
 * depends on it, so it may come from a server whose certificate cannot be verified by our clock.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { clockSkewMsMax } from "../../protocol/limits.ts";
import { formatDuration } from "../core/units.ts";

const askTimeoutMs = 3_000;
const minuteMs = 60_000;

/** `12m ahead of the coordinator's`; undefined while it is tolerated. `skewMs` is our time less the other's. */
export function clockSkewText(skewMs: number, other: string): string | undefined {
  if (!(Math.abs(skewMs) > clockSkewMsMax)) return undefined;
  const amount = formatDuration(Math.round(Math.abs(skewMs) / minuteMs) * minuteMs);
  return `${amount} ${skewMs > 0 ? "ahead of" : "behind"} ${other}'s`;
}

/** The error with both clocks in it, if they explain it; else as it is. */
export function withClockSkew(error: CollectiveError, { nowMs, peerMs }: { readonly nowMs: number; readonly peerMs: number }) {
  const skew = clockSkewText(nowMs - peerMs, "the coordinator");
  if (skew === undefined) return error;
  return new CollectiveError(error.code, `${error.message}; the clock of this machine is ${skew}`, {
    hint: "set the clock that is wrong, best by network time (NTP)",
    details: error.details,
    cause: error,
  });
}

/** Milliseconds since 1970, or NaN. */
export function timeOfAnswer(response: Response): number {
  return Date.parse(response.headers.get("date") ?? "");
}

/** What the server at an address says the time is; NaN when it does not say. Shows it nothing of us. */
export async function askTime(address: string, serverName: string): Promise<number> {
  const init = { method: "HEAD", tls: { serverName, rejectUnauthorized: false }, signal: AbortSignal.timeout(askTimeoutMs) };
  return await fetch(`https://${address}/`, init as RequestInit).then(timeOfAnswer, () => Number.NaN);
}
