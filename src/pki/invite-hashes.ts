/** The hashes of an invite: by what a code knows the authority before anything is trusted (protocol/invite.ts), and by what the coordinator knows the code. */
import { createHash, timingSafeEqual } from "node:crypto";
import { authorityPinBytes } from "../../protocol/invite.ts";
import { readAuthority } from "./trust-bundle.ts";

/** Throws `configuration` for what is not an authority bound to one site. */
export function authorityPinOf(authorityPem: string): Uint8Array {
  const { spkiRaw } = readAuthority(authorityPem).certificate.fields;
  return new Uint8Array(createHash("sha256").update(spkiRaw).digest()).slice(0, authorityPinBytes);
}

/** A secret of 128 random bits needs no salt and no slow hash. */
export function secretHashOf(secret: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(secret).digest());
}

export function matchesPin(authorityPem: string, pin: Uint8Array): boolean {
  return pin.length === authorityPinBytes && timingSafeEqual(authorityPinOf(authorityPem), pin);
}
