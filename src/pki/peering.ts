/** The proof by which one coordinator shows another that it holds the key of the certificate that it presents. */
import { verify } from "node:crypto";
import { type PeeringClaim, peeringClaimSchema } from "../../protocol/bootstrap.ts";
import { decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import { openEnvelope, sealEnvelope, signedInput } from "../../protocol/envelope.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import { readCertificate } from "./certificate.ts";
import { publicKeyFromRaw } from "./keys.ts";
import type { Signer } from "./ticket.ts";
import { createTrustBundle, type VerifiedIdentity } from "./trust-bundle.ts";

export function signPeering(signer: Signer, claim: PeeringClaim): Uint8Array<ArrayBuffer> {
  const body = encodeMessage({ version: 1, ...claim });
  return sealEnvelope("peering", { body, signature: signer.sign(signedInput("peering", body)) });
}

/** Throws `not_authenticated` unless it is signed with this key. What it claims is for the caller to compare. */
export function openPeering(bytes: Uint8Array, publicKeyRaw: Uint8Array): PeeringClaim {
  const { signature, body } = openEnvelope("peering", bytes);
  if (!verify(null, signedInput("peering", body), publicKeyFromRaw(publicKeyRaw), signature))
    throw new CollectiveError("not_authenticated", "the proof is not signed by the coordinator that it should be from");
  return decodeMessage(peeringClaimSchema, body, "the proof", "not_authenticated");
}

export interface CoordinatorPems {
  readonly authorityPem: string;
  readonly coordinatorPem: string;
}

/**
 * Whose coordinator this is: a member of the authority's site. The dates are not looked at: it says which key the authority
 * has certified, and whoever connects with it shows a certificate that is valid. Throws `not_authenticated`, `configuration`.
 */
export function readCoordinator({ authorityPem, coordinatorPem }: CoordinatorPems): VerifiedIdentity {
  const { notBeforeMs } = readCertificate(coordinatorPem);
  const identity = createTrustBundle([authorityPem]).identify({ pem: coordinatorPem }, notBeforeMs, Number.MAX_SAFE_INTEGER);
  if (identity.kind === "coordinator") return identity;
  throw new CollectiveError("not_authenticated", `the certificate is that of the ${identity.kind} ${identity.name}, not of a coordinator`);
}

/** The same, and it is this member's. */
export function coordinatorOf(member: GlobalName, pems: CoordinatorPems): VerifiedIdentity {
  const identity = readCoordinator(pems);
  if (identity.name === member) return identity;
  throw new CollectiveError("not_authenticated", `the certificate is that of the coordinator ${identity.name}, not of ${member}'s`);
}
