/**
 * The one place that loads the certificate library, on first use: loading takes 20 ms in the
 * executable and 140 ms from source, and commands that only read certificates must not pay that.
 *
 * Its crypto provider is @peculiar/webcrypto, which works with Ed25519 on Bun 1.4.5, from source
 * and compiled with bytecode. Measured: a request and a certificate together take 7.2 ms with it
 * and 6.7 ms with Bun's own `crypto.subtle`; the time goes into ASN.1.
 */
import { createPublicKey, timingSafeEqual } from "node:crypto";
import type * as X509 from "@peculiar/x509";
import { privateKeyFromPem } from "./keys.ts";

export const signingAlgorithm = { name: "Ed25519" } as const;

export interface SigningKeys {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

let library: Promise<typeof X509> | undefined;

export function loadX509(): Promise<typeof X509> {
  library ??= load();
  return library;
}

export async function importKeys(privateKeyPem: string): Promise<SigningKeys> {
  const key = privateKeyFromPem(privateKeyPem);
  const { cryptoProvider } = await loadX509();
  const { subtle } = cryptoProvider.get();
  const pkcs8 = Uint8Array.from(key.export({ type: "pkcs8", format: "der" }));
  const spki = Uint8Array.from(createPublicKey(key).export({ type: "spki", format: "der" }));
  return {
    privateKey: await subtle.importKey("pkcs8", pkcs8, signingAlgorithm, false, ["sign"]),
    publicKey: await subtle.importKey("spki", spki, signingAlgorithm, true, ["verify"]),
  };
}

async function load(): Promise<typeof X509> {
  // The library's dependency injection needs this polyfill to be there before it is evaluated.
  await import("reflect-metadata");
  const [x509, { Crypto }] = await Promise.all([import("@peculiar/x509"), import("@peculiar/webcrypto")]);
  // Bun's type of a crypto provider has one member more than the standard's.
  x509.cryptoProvider.set(Object.assign(new Crypto(), { timingSafeEqual }));
  return x509;
}
