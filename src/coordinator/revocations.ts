/**
 * Who is refused in spite of a good certificate: in memory, because it is asked at every request.
 *
 * A certificate counts unless its serial is revoked, or its key, or, for a key that has no enrolment of
 * its own, its name as a whole. What changes the enrolments calls `refresh` before it answers.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { Identity } from "../../protocol/ids.ts";
import type { MetadataStore } from "../meta/store.ts";
import type { Caller } from "../net/control-app.ts";

export interface KeyHolder extends Identity {
  readonly publicKeyRaw: Uint8Array;
}

export interface Revocations {
  /** Throws `not_authenticated`, saying since when. */
  assertInForce(caller: Caller): void;
  isRevoked(holder: KeyHolder): boolean;
  refresh(): Promise<void>;
}

interface Known {
  readonly serials: ReadonlyMap<string, number>;
  /** By kind, name and key: when it was revoked, or null while it is in force. */
  readonly keys: ReadonlyMap<string, number | null>;
}

export async function createRevocations(metadata: MetadataStore): Promise<Revocations> {
  let known = await read(metadata);
  const keyRevokedMs = ({ kind, name, publicKeyRaw }: KeyHolder): number | null => {
    const own = known.keys.get(entryOf(kind, name, publicKeyRaw));
    return own === undefined ? (known.keys.get(entryOf(kind, name, anyOtherKey)) ?? null) : own;
  };
  return {
    assertInForce: (caller) => {
      const serialRevokedMs = known.serials.get(caller.serial);
      if (serialRevokedMs !== undefined) throw revoked(`the certificate ${caller.serial} of ${caller.name}`, serialRevokedMs);
      const revokedMs = keyRevokedMs(caller);
      if (revokedMs !== null) throw revoked(caller.name, revokedMs);
    },
    isRevoked: (holder) => keyRevokedMs(holder) !== null,
    refresh: async () => {
      known = await read(metadata);
    },
  };
}

const anyOtherKey = new Uint8Array(0);

function entryOf(kind: Identity["kind"], name: string, publicKeyRaw: Uint8Array): string {
  return `${kind} ${name} ${Buffer.from(publicKeyRaw.buffer, publicKeyRaw.byteOffset, publicKeyRaw.length).toString("base64")}`;
}

async function read(metadata: MetadataStore): Promise<Known> {
  const [serials, enrolments] = await Promise.all([metadata.listRevokedSerials(), metadata.listEnrolments()]);
  return {
    serials: new Map(serials.map(({ serial, revokedMs }) => [serial, revokedMs])),
    keys: new Map(enrolments.map(({ kind, name, publicKeyRaw, revokedMs }) => [entryOf(kind, name, publicKeyRaw), revokedMs])),
  };
}

export function revoked(what: string, revokedMs: number): CollectiveError {
  return new CollectiveError("not_authenticated", `${what} was revoked on ${new Date(revokedMs).toISOString()}`, {
    hint: "ask the administrator for an invite, to join again",
  });
}
