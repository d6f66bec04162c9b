/** What a failed request means, in words of this system: one table for both APIs' clients. */

import { decodeMessage } from "../../protocol/codec.ts";
import { errorBodySchema } from "../../protocol/error-body.ts";
import { CollectiveError } from "../../protocol/errors.ts";

/** The request never left this machine, so repeating it is safe whatever it would have done. */
export function neverSent(error: unknown): boolean {
  return error instanceof CollectiveError && error.details.sent === false;
}

/** The other side has said nothing, so whether it did anything is not known. */
export function neverAnswered(error: unknown): boolean {
  return error instanceof CollectiveError && error.details.answered === false;
}

/** A change that was asked for may have been made all the same, or may be made yet. */
export function outcomeUnknown(error: unknown): boolean {
  return neverAnswered(error) || (error instanceof CollectiveError && (error.code === "timed_out" || error.code === "cancelled"));
}

/**
 * A node did not take the ticket: withdrawn, because a right was taken away, or expired on the way. Nothing is wrong with
 * the node or its copy, and whoever still has the right gets a new ticket by asking again.
 */
export function ticketRefused(error: unknown): boolean {
  if (!(error instanceof CollectiveError) || neverAnswered(error)) return false;
  return error.code === "not_authenticated" || error.code === "permission_denied";
}

const notSentCodes: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ConnectionRefused: "connection refused",
  ENOTFOUND: "the name does not resolve",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "the network is unreachable",
};

/** Perhaps it is one of the clocks that is wrong. */
const outOfDateCodes: ReadonlySet<string> = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]);

const certificateCodes: Readonly<Record<string, string>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: "it presents the certificate of another name",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate was not issued by the trusted authority",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate was not issued by the trusted authority",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate was not issued by the trusted authority",
  UNABLE_TO_GET_ISSUER_CERT: "its certificate was not issued by the trusted authority",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate was not issued by the trusted authority",
  CERT_SIGNATURE_FAILURE: "its certificate was not issued by the trusted authority",
  PERMITTED_VIOLATION: "its certificate was issued by an authority of another site",
  EXCLUDED_VIOLATION: "its certificate was issued by an authority of another site",
  INVALID_PURPOSE: "its certificate is not made for a server",
  INVALID_CA: "its certificate was issued by what is no authority",
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet",
};

export interface RequestFacts {
  /** `coordinator.home.collective.local` or a node's name. */
  readonly peer: string;
  readonly address: string;
}

export function requestError(thrown: unknown, facts: RequestFacts): CollectiveError {
  if (thrown instanceof CollectiveError) return thrown;
  const error = thrown as { name?: string; code?: string; message?: string };
  const where = `${facts.peer} at ${facts.address}`;
  if (error.name === "TimeoutError") return new CollectiveError("timed_out", `${where} did not answer in time`, { cause: thrown });
  if (error.name === "AbortError") return new CollectiveError("cancelled", "cancelled", { cause: thrown });
  const code = error.code ?? "";
  const notSent = notSentCodes[code];
  if (notSent !== undefined) {
    return new CollectiveError("unavailable", `cannot reach ${where}: ${notSent}`, {
      cause: thrown,
      details: { sent: false, answered: false },
      hint: "check that it runs and that the address is right",
    });
  }
  const certificate = certificateCodes[code];
  if (certificate !== undefined) {
    return new CollectiveError("not_authenticated", `${where} is not who it should be: ${certificate}`, {
      cause: thrown,
      details: { sent: false, ...(outOfDateCodes.has(code) ? { outOfDate: true } : {}) },
    });
  }
  return new CollectiveError("unavailable", `the connection to ${where} was lost${code === "" ? "" : ` (${code})`}`, {
    cause: thrown,
    details: { answered: false },
  });
}

/** The error that a peer answered with; a body that says nothing becomes `unavailable`. */
export async function responseError(response: Response, facts: RequestFacts): Promise<CollectiveError> {
  try {
    const body = decodeMessage(errorBodySchema, new Uint8Array(await response.arrayBuffer()), "the error");
    return new CollectiveError(body.code, body.message, { hint: body.hint, details: body.details });
  } catch {
    return new CollectiveError("unavailable", `${facts.peer} at ${facts.address} answered with status ${response.status}`);
  }
}
