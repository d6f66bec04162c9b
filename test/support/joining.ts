/** Joiners without ceremony: codes, keys and requests, as many as a test wants. */
import { createPrivateKey, sign } from "node:crypto";
import { formatInviteCode, type InviteCode, parseInviteCode } from "../../protocol/invite.ts";
import type { RouteInput } from "../../protocol/routes.ts";
import { routes } from "../../protocol/routes.ts";
import { systemClock } from "../../src/core/clock.ts";
import { systemRandom } from "../../src/core/random.ts";
import { type BootstrapClient, createBootstrapClient } from "../../src/net/bootstrap-client.ts";
import { createCsr } from "../../src/pki/authority.ts";
import { generateKeyPair, type KeyPair } from "../../src/pki/keys.ts";
import type { TestMember } from "./member.ts";

export const bootstrapClient: BootstrapClient = createBootstrapClient({ clock: systemClock, random: systemRandom });

export type InviteWish = Partial<RouteInput<typeof routes.createInvite>>;

/** A code as the administrator makes it: for a person, once, for a day, without rights unless told. */
export async function inviteTo(
  member: TestMember,
  wish: InviteWish = {},
): Promise<InviteCode & { readonly text: string; readonly id: string }> {
  const plain = { kind: "person" as const, grants: [], usesMax: 1, validityMs: 86_400_000, description: "" };
  const { code, invite } = await member.client().call(routes.createInvite, { ...plain, ...wish });
  return { ...parseInviteCode(code), text: code, id: invite.id };
}

/** The same code with something else in it. */
export function altered(code: InviteCode, change: Partial<InviteCode>): InviteCode {
  return parseInviteCode(formatInviteCode({ ...code, ...change }));
}

export interface Joiner extends KeyPair {
  readonly csrPem: string;
}

const signatureBytes = 64;
let template: Promise<{ readonly der: Buffer; readonly keyAt: number; readonly info: readonly [number, number] }> | undefined;

/** Like `createCsr`, a hundred times as fast: the same request with another key in it, signed by that key. */
export async function joiner(): Promise<Joiner> {
  template ??= makeTemplate();
  const { der, keyAt, info } = await template;
  const pair = generateKeyPair();
  const own = Buffer.from(der);
  own.set(pair.publicKeyRaw, keyAt);
  own.set(sign(null, own.subarray(...info), createPrivateKey(pair.privateKeyPem)), own.length - signatureBytes);
  const lines = own.toString("base64").match(/.{1,64}/g) ?? [];
  return { ...pair, csrPem: ["-----BEGIN CERTIFICATE REQUEST-----", ...lines, "-----END CERTIFICATE REQUEST-----", ""].join("\n") };
}

async function makeTemplate() {
  const { privateKeyPem, publicKeyRaw } = generateKeyPair();
  const csrPem = await createCsr({ privateKeyPem, commonName: "joining" });
  const der = Buffer.from(csrPem.replace(/-----.*-----/g, ""), "base64");
  const headerOf = (at: number): number => ((der[at + 1] ?? 0) < 0x80 ? 2 : 2 + ((der[at + 1] ?? 0) & 0x7f));
  const start = headerOf(0);
  const length =
    headerOf(start) === 2 ? (der[start + 1] ?? 0) : Number.parseInt(der.subarray(start + 2, start + headerOf(start)).toString("hex"), 16);
  return { der, keyAt: der.indexOf(publicKeyRaw), info: [start, start + headerOf(start) + length] as const };
}
