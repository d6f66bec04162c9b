/** Invites. The secret of a code is kept as its hash; the use of one is taken in the transaction that enrols its holder. */
import { CollectiveError } from "../../protocol/errors.ts";
import type { GlobalName, Inode } from "../../protocol/ids.ts";
import type { InviteKind } from "../../protocol/invite.ts";
import { formatRights, type Right, type SubjectPattern } from "../../protocol/rights.ts";
import { appendAudit } from "./audit.ts";
import { type MetadataContext, statement } from "./context.ts";
import { enrol } from "./enrolments.ts";
import { grant, rightsOfBits } from "./grants.ts";
import type { Enrolment, Invite, InviteRegistry, NewInvite } from "./people.ts";
import { pathTo, wayTo } from "./walk.ts";

interface InviteRow {
  readonly id: string;
  readonly kind: InviteKind;
  readonly name: GlobalName | null;
  readonly grants: string;
  readonly uses_max: number;
  readonly uses: number;
  readonly description: string;
  readonly created_ms: number;
  readonly created_by: GlobalName;
  readonly expires_ms: number;
  readonly revoked_ms: number | null;
}

const columns = "id, kind, name, grants, uses_max, uses, description, created_ms, created_by, expires_ms, revoked_ms";

export function createInviteRegistry(context: MetadataContext): InviteRegistry {
  const { db } = context;
  return {
    createInvite: (invite) => db.write(() => createInvite(context, invite)),
    listInvites: async () =>
      statement<InviteRow, []>(context, `SELECT ${columns} FROM invite ORDER BY created_ms, id`)
        .all()
        .map((row) => inviteOf(context, row)),
    revokeInvite: (id, by) =>
      db.write(() => {
        if (inviteById(context, id).revokedMs === null) revoke(context, id, by);
      }),
    inviteBySecret: async (secretHash) => {
      const row = statement<InviteRow, [Uint8Array]>(context, `SELECT ${columns} FROM invite WHERE secret_hash = ?`).get(secretHash);
      return row ? inviteOf(context, row) : undefined;
    },
    redeemInvite: (request) => db.write(() => redeem(context, request)),
  };
}

function inviteOf(context: MetadataContext, row: InviteRow): Invite {
  const grants = JSON.parse(row.grants) as NewInvite["grants"];
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    grants: grants.map((one) => ({ ...one, path: pathTo(wayTo(context, one.inode)) ?? null })),
    usesMax: row.uses_max,
    uses: row.uses,
    description: row.description,
    createdMs: row.created_ms,
    createdBy: row.created_by,
    expiresMs: row.expires_ms,
    revokedMs: row.revoked_ms,
  };
}

function inviteById(context: MetadataContext, id: string): Invite {
  const row = statement<InviteRow, [string]>(context, `SELECT ${columns} FROM invite WHERE id = ?`).get(id);
  if (!row) throw new CollectiveError("not_found", `there is no invite ${id}`);
  return inviteOf(context, row);
}

function createInvite(context: MetadataContext, invite: NewInvite): void {
  statement<never, [string, Uint8Array, string, string | null, string, number, string, number, string, number]>(
    context,
    `INSERT INTO invite (id, secret_hash, kind, name, grants, uses_max, description, created_ms, created_by, expires_ms)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  ).run(
    invite.id,
    invite.secretHash,
    invite.kind,
    invite.name,
    JSON.stringify(invite.grants),
    invite.usesMax,
    invite.description,
    Math.trunc(invite.createdMs),
    invite.createdBy,
    Math.trunc(invite.expiresMs),
  );
  appendAudit(context, {
    actor: invite.createdBy,
    action: "invite.created",
    subject: invite.id,
    details: {
      kind: invite.kind,
      uses: invite.usesMax,
      expires: new Date(invite.expiresMs).toISOString(),
      rights: invite.grants.map((one) => formatRights(one.rights)),
    },
  });
}

function revoke(context: MetadataContext, id: string, by: GlobalName): void {
  statement<never, [number, string]>(context, "UPDATE invite SET revoked_ms = ? WHERE id = ?").run(Math.trunc(context.clock.wallMs()), id);
  appendAudit(context, { actor: by, action: "invite.revoked", subject: id });
}

/** Codes that were made for this name. For use inside a transaction. */
export function revokeInvitesFor(context: MetadataContext, { kind, name }: Pick<Enrolment, "kind" | "name">, by: GlobalName): void {
  const open = statement<{ id: string }, [string, string]>(
    context,
    "SELECT id FROM invite WHERE kind = ? AND name = ? AND revoked_ms IS NULL",
  ).all(kind === "user" ? "person" : kind, name);
  for (const { id } of open) revoke(context, id, by);
}

function redeem(context: MetadataContext, { id, name, publicKeyRaw }: Parameters<InviteRegistry["redeemInvite"]>[0]): void {
  const invite = inviteInForce(context, id);
  if (invite.kind === "member")
    throw new CollectiveError("invalid_argument", "this code is for another member's coordinator, not for a person or a node");
  const kind = invite.kind === "node" ? "node" : "user";
  const joinedBy = `invite ${id}`;
  const keys = statement<{ public_key: Uint8Array; joined_by: string; revoked_ms: number | null }, [string, string]>(
    context,
    "SELECT public_key, joined_by, revoked_ms FROM enrolment WHERE kind = ? AND name = ?",
  ).all(kind, name);
  const own = keys.find((row) => Buffer.compare(row.public_key, publicKeyRaw) === 0);
  // Whoever lost the answer asks again, and gets it even from a code that is used up by now.
  if (own?.joined_by === joinedBy && own.revoked_ms === null) return;
  assertUnused(invite);
  if (invite.name !== null && invite.name !== name)
    throw new CollectiveError("conflict", `this code is for ${invite.name}, not for ${name}`);
  // Whoever takes the name of somebody revoked would get what was granted to that name.
  const isTaken = keys.some((row) => row !== own || row.revoked_ms !== null);
  if (isTaken && invite.name === null)
    throw new CollectiveError("conflict", `the name ${name} is taken`, {
      hint: "choose another one, or ask for a code that was made for this name",
    });
  if (invite.grants.some((one) => one.path === null)) {
    throw new CollectiveError("not_found", "a directory that this code gives rights on no longer exists", { hint: "ask for another code" });
  }
  takeUse(context, id);
  const enrolment: Pick<Enrolment, "kind" | "name" | "publicKeyRaw"> = { kind, name, publicKeyRaw };
  enrol(context, enrolment, joinedBy);
  for (const one of invite.grants)
    grant(context, {
      inode: one.inode,
      subject: name as string as SubjectPattern,
      rights: [...new Set([...one.rights, ...lastingRights(context, { inode: one.inode, subject: name, by: invite.createdBy })])],
      grantedBy: invite.createdBy,
      expiresMs: null,
    });
}

/** For use inside a transaction, like what follows. */
export function inviteInForce(context: MetadataContext, id: string): Invite {
  const invite = inviteById(context, id);
  if (invite.revokedMs !== null) throw new CollectiveError("permission_denied", "this code was revoked");
  if (invite.expiresMs <= context.clock.wallMs())
    throw new CollectiveError("permission_denied", `this code expired on ${new Date(invite.expiresMs).toISOString()}`);
  return invite;
}

export function assertUnused(invite: Invite): void {
  if (invite.uses >= invite.usesMax) throw new CollectiveError("permission_denied", "this code has been used up");
}

export function takeUse(context: MetadataContext, id: string): void {
  statement<never, [string]>(context, "UPDATE invite SET uses = uses + 1 WHERE id = ?").run(id);
}

/** A grant replaces the earlier one of the same two people, and a second code must not take away what the first one gave. */
function lastingRights(context: MetadataContext, { inode, subject, by }: { inode: Inode; subject: GlobalName; by: GlobalName }): Right[] {
  const before = statement<{ rights: number }, [number, string, string]>(
    context,
    "SELECT rights FROM access_grant WHERE inode = ? AND subject = ? AND granted_by = ? AND expires_ms IS NULL",
  ).get(inode, subject, by);
  return before ? rightsOfBits(before.rights) : [];
}
