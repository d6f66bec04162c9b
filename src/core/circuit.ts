/**
 * Leaves somebody alone who does not answer: after some failures in a row nothing is asked of them for a while, then one
 * try decides whether all may ask again or the next while is longer. Pure: each function answers the next state.
 */
import type { Random } from "./random.ts";
import { retryDelayMs } from "./retry.ts";

export interface CircuitPolicy {
  /** In a row, until it opens. */
  readonly failuresMax: number;
  readonly firstPauseMs: number;
  readonly pauseMsMax: number;
}

export type Circuit =
  | { readonly state: "closed"; readonly failures: number }
  | { readonly state: "open"; readonly untilMs: number; readonly pauses: number }
  /** One try is under way. */
  | { readonly state: "halfOpen"; readonly pauses: number };

export const closedCircuit: Circuit = { state: "closed", failures: 0 };

/** Before a try; undefined when there may be none now. */
export function afterAdmission(circuit: Circuit, nowMs: number): Circuit | undefined {
  if (circuit.state === "closed") return circuit;
  if (circuit.state === "open" && nowMs >= circuit.untilMs) return { state: "halfOpen", pauses: circuit.pauses };
  return undefined;
}

export interface FailureFacts {
  readonly policy: CircuitPolicy;
  readonly nowMs: number;
  readonly random: Random;
}

export function afterFailure(circuit: Circuit, facts: FailureFacts): Circuit {
  switch (circuit.state) {
    case "closed": {
      const failures = circuit.failures + 1;
      return failures < facts.policy.failuresMax ? { state: "closed", failures } : opened(0, facts);
    }
    case "halfOpen":
      return opened(circuit.pauses + 1, facts);
    case "open":
      // Of a try that began before it opened: nothing new.
      return circuit;
  }
}

/** The try ended without telling anything, because whoever made it wants nothing any more. */
export function afterGivingUp(circuit: Circuit, nowMs: number): Circuit {
  return circuit.state === "halfOpen" ? { state: "open", untilMs: nowMs, pauses: circuit.pauses } : circuit;
}

/** `pauses` were there before. */
function opened(pauses: number, { policy, nowMs, random }: FailureFacts): Circuit {
  const pauseMs = retryDelayMs({ firstDelayMs: policy.firstPauseMs, delayMsMax: policy.pauseMsMax }, pauses, random);
  return { state: "open", untilMs: nowMs + pauseMs, pauses };
}
