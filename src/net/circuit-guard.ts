/** Calls to one address, held back while nobody answers there: see src/core/circuit.ts. */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { afterAdmission, afterFailure, afterGivingUp, type CircuitPolicy, closedCircuit } from "../core/circuit.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";
import { formatDuration } from "../core/units.ts";
import { neverAnswered, type RequestFacts } from "./errors.ts";

/** Throws what the call throws, and `unavailable` at once while calls are held back. */
export type CircuitGuard = <T>(call: () => Promise<T>, options: GuardOptions) => Promise<T>;

export interface GuardOptions {
  /** Of one who watches whether somebody is there, with time-outs of its own: never held back, and only its success tells. */
  readonly probe?: boolean | undefined;
}

export interface CircuitGuardOptions {
  readonly policy: CircuitPolicy;
  readonly facts: RequestFacts;
  readonly clock: Clock;
  readonly random: Random;
}

export function createCircuitGuard({ policy, facts, clock, random }: CircuitGuardOptions): CircuitGuard {
  let circuit = closedCircuit;
  const heldBack = (): CollectiveError => {
    const leftMs = circuit.state === "open" ? Math.max(0, circuit.untilMs - clock.monotonicMs()) : 0;
    const when =
      leftMs === 0 ? "a call that tries it again is under way" : `the next try is in ${formatDuration(Math.ceil(leftMs / 1000) * 1000)}`;
    return new CollectiveError("unavailable", `${facts.peer} at ${facts.address} has not answered lately; ${when}`, {
      details: { sent: false, answered: false },
    });
  };
  return async (call, { probe = false }) => {
    if (!probe) {
      const admitted = afterAdmission(circuit, clock.monotonicMs());
      if (!admitted) throw heldBack();
      circuit = admitted;
    }
    try {
      const answer = await call();
      circuit = closedCircuit;
      return answer;
    } catch (thrown) {
      const error = toCollectiveError(thrown);
      const nowMs = clock.monotonicMs();
      const isCancelled = error.code === "cancelled";
      if (!isCancelled && !isSilence(error)) circuit = closedCircuit;
      else if (!probe) circuit = isCancelled ? afterGivingUp(circuit, nowMs) : afterFailure(circuit, { policy, nowMs, random });
      throw error;
    }
  };
}

/** A refusal is an answer, too. */
function isSilence(error: CollectiveError): boolean {
  return error.code === "timed_out" || neverAnswered(error);
}
