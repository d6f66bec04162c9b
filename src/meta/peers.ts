/** Other members, and whether they are trusted. Who may become one is decided before; that sites do not overlap, here. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { sitesOverlap } from "../pki/trust-bundle.ts";
import { appendAudit } from "./audit.ts";
import { type MetadataContext, statement } from "./context.ts";
import { withdrawTickets } from "./enrolments.ts";
import { assertUnused, inviteInForce, takeUse } from "./invites.ts";
import type { NewPeer, Peer, PeerRegistry } from "./people.ts";

interface PeerRow {
  readonly member: GlobalName;
  readonly authority_pem: string;
  readonly coordinator_pem: string;
  readonly address: string;
  readonly introducer: GlobalName | null;
  readonly root: string | null;
  readonly invite: string | null;
  readonly added_ms: number;
  readonly removed_ms: number | null;
}

export function createPeerRegistry(context: MetadataContext): PeerRegistry {
  const { db } = context;
  return {
    listPeers: async () => rows(context).map(peerOf),
    addPeer: (peer, by) => db.write(() => save(context, { peer, invite: null, by })),
    redeemPeerInvite: ({ id, peer }) => db.write(() => redeem(context, id, peer)),
    admitPeer: (peer) => db.write(() => admit(context, peer)),
    updatePeer: (member, { coordinatorPem, address }) =>
      db.write(() => {
        statement<never, [string | null, string | null, string]>(
          context,
          `UPDATE peer SET coordinator_pem = coalesce(?1, coordinator_pem), address = coalesce(?2, address)
           WHERE member = ?3 AND removed_ms IS NULL`,
        ).run(coordinatorPem ?? null, address ?? null, member);
      }),
    removePeer: (member, by) => db.write(() => remove(context, member, by)),
  };
}

function rows(context: MetadataContext): PeerRow[] {
  return statement<PeerRow, []>(context, "SELECT * FROM peer ORDER BY member").all();
}

function rowOf(context: MetadataContext, member: GlobalName): PeerRow | null {
  return statement<PeerRow, [string]>(context, "SELECT * FROM peer WHERE member = ?").get(member);
}

function peerOf(row: PeerRow): Peer {
  return {
    member: row.member,
    authorityPem: row.authority_pem,
    coordinatorPem: row.coordinator_pem,
    address: row.address,
    introducer: row.introducer,
    root: row.root,
    addedMs: row.added_ms,
    removedMs: row.removed_ms,
  };
}

interface Addition {
  readonly peer: NewPeer;
  readonly invite: string | null;
  readonly by: string;
}

function save(context: MetadataContext, { peer, invite, by }: Addition): void {
  const { member, authorityPem, coordinatorPem, address, introducer = null, root = null } = peer;
  assertFits(context, peer);
  const known = rowOf(context, member);
  const isNews = !known || known.removed_ms !== null || known.introducer !== introducer || known.root !== root;
  const nowMs = Math.trunc(context.clock.wallMs());
  statement<never, [string, string, string, string, string | null, string | null, number, string | null]>(
    context,
    `INSERT INTO peer (member, authority_pem, coordinator_pem, address, introducer, invite, added_ms, root)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
     ON CONFLICT DO UPDATE SET authority_pem = ?2, coordinator_pem = ?3, address = ?4, introducer = ?5, invite = coalesce(?6, invite),
       added_ms = CASE WHEN removed_ms IS NULL THEN added_ms ELSE ?7 END, removed_ms = NULL, root = ?8`,
  ).run(member, authorityPem, coordinatorPem, address, introducer, invite, nowMs, root);
  const details = { ...(introducer === null ? {} : { introducer }), ...(root === null ? {} : { root }) };
  if (isNews) appendAudit(context, { actor: by, action: "peer.added", subject: member, details });
}

function admit(context: MetadataContext, peer: NewPeer): void {
  const { member, introducer = null, root = null } = peer;
  const known = rowOf(context, member);
  if (known && known.removed_ms !== null) throw wasRemoved(member);
  // Somebody's word adds nothing to trust that is there.
  if (known && root === null) return;
  save(context, { peer, invite: null, by: introducer ?? `root ${root ?? ""}` });
}

export function wasRemoved(member: GlobalName): CollectiveError {
  return new CollectiveError("conflict", `${member} was removed, and comes back by a code or the administrator's word alone`, {
    hint: `where it was removed: collective federation peer connect ${member}`,
  });
}

function assertFits(context: MetadataContext, { member, authorityPem }: NewPeer): void {
  const site = siteOf(member);
  for (const other of rows(context)) {
    if (other.removed_ms !== null || !sitesOverlap(site, siteOf(other.member))) continue;
    if (other.member === member && other.authority_pem === authorityPem) continue;
    const reason =
      other.member === member
        ? `${member} is known with another certificate authority`
        : `${site} belongs to or overlaps with ${other.member}`;
    throw new CollectiveError("conflict", reason, {
      hint: `if the other one is no more, end its trust first: collective federation peer remove ${other.member}`,
    });
  }
}

function redeem(context: MetadataContext, id: string, peer: NewPeer): void {
  const invite = inviteInForce(context, id);
  if (invite.kind !== "member")
    throw new CollectiveError("invalid_argument", `this code is for a ${invite.kind}, not for another member's coordinator`);
  const known = rowOf(context, peer.member);
  // Whoever lost the answer asks again, and gets it even from a code that is used up by now.
  const isAgain = known?.invite === id && known.removed_ms === null;
  if (!isAgain) assertUnused(invite);
  if (known?.removed_ms != null && invite.createdMs <= known.removed_ms)
    throw new CollectiveError("permission_denied", `${peer.member} was removed after this code was made`, { hint: "ask for a new one" });
  save(context, { peer, invite: id, by: `invite ${id}` });
  if (!isAgain) takeUse(context, id);
}

function remove(context: MetadataContext, member: GlobalName, by: GlobalName): void {
  const known = rowOf(context, member);
  if (!known) throw new CollectiveError("not_found", `${member} is no peer`, { hint: "see: collective federation peer list" });
  if (known.removed_ms !== null) return;
  statement<never, [number, string]>(context, "UPDATE peer SET removed_ms = ? WHERE member = ?").run(
    Math.trunc(context.clock.wallMs()),
    member,
  );
  withdrawTickets(context, `*@${siteOf(member)}`);
  appendAudit(context, { actor: by, action: "peer.removed", subject: member });
}
