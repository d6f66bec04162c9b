/** By what an invite code knows an authority before anything is trusted: see protocol/invite.ts. */
import { createHash, timingSafeEqual } from "node:crypto";
import { authorityPinBytes } from "../../protocol/invite.ts";
import { readAuthority } from "./trust-bundle.ts";

/** Throws `configuration` for what is not an authority bound to one site. */
export function authorityPinOf(authorityPem: string): Uint8Array {
  const { spkiRaw } = readAuthority(authorityPem).certificate.fields;
  return new Uint8Array(createHash("sha256").update(spkiRaw).digest()).slice(0, authorityPinBytes);
}

export function matchesPin(authorityPem: string, pin: Uint8Array): boolean {
  return pin.length === authorityPinBytes && timingSafeEqual(authorityPinOf(authorityPem), pin);
}
