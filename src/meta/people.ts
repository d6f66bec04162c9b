/**
 * What a coordinator knows of people: who has been given a certificate, who may do what, which invites are
 * open, and the record of all that. Part of `MetadataStore` and of its contract.
 *
 * Changes are durable when they resolve, and stand in the audit trail in the same transaction.
 */
import type { GlobalName, IdentityKind, Inode } from "../../protocol/ids.ts";
import type { InviteKind } from "../../protocol/invite.ts";
import type { Right, SubjectPattern } from "../../protocol/rights.ts";
import type { DirectoryEntry, Withdrawal } from "../../protocol/schema.ts";

/** Who has certificates of this member's authority, and who may not use them any more. */
export interface Enrolment {
  readonly kind: Exclude<IdentityKind, "coordinator">;
  readonly name: GlobalName;
  /** Raw Ed25519; empty for every key of that name which has no enrolment of its own. */
  readonly publicKeyRaw: Uint8Array;
  readonly joinedMs: number;
  /** A person, or `invite ID`. */
  readonly joinedBy: string;
  readonly revokedMs: number | null;
}

export interface EnrolmentRegistry {
  listEnrolments(): Promise<Enrolment[]>;
  listRevokedSerials(): Promise<{ readonly serial: string; readonly revokedMs: number }[]>;
  /** Enrols a key, again where it was revoked. */
  enrol(who: Pick<Enrolment, "kind" | "name" | "publicKeyRaw">, by: string): Promise<void>;
  /**
   * All keys of a name, known or not, every ticket it holds and every open invite made for it; of a person also what was granted to
   * that name and what it has granted. Idempotent.
   */
  revokeName(who: Pick<Enrolment, "kind" | "name">, by: GlobalName): Promise<void>;
  /** One certificate; its holder may have others. Idempotent. */
  revokeSerial(serial: string, by: GlobalName): Promise<void>;
  /** Tickets of the holder issued until `untilMs` are void. Only those that could still be valid. */
  listWithdrawals(): Promise<Withdrawal[]>;
}

export interface AccessGrant {
  readonly inode: Inode;
  readonly subject: SubjectPattern;
  readonly rights: readonly Right[];
  readonly grantedBy: GlobalName;
  readonly grantedMs: number;
  readonly expiresMs: number | null;
}

export interface GrantRegistry {
  /** On the directory and on each one above it, up to its datastore's root; the nearest first. Expired ones, too; with `person` only those that can matter to its rights. */
  grantsAbove(inode: Inode, person?: GlobalName): Promise<AccessGrant[]>;
  /** The nearest directory above these or equal to one, and whether anything is granted further down on the way to any of them. */
  groundOf(directories: readonly Inode[]): Promise<{ directory: Inode; grantedBelow: boolean }>;
  /** Directories with a grant to this person, whatever it is worth now: each with the way to it, from its datastore's root down to itself. */
  directoriesGrantedTo(person: GlobalName): Promise<(readonly DirectoryEntry[])[]>;
  /** All, or those on a directory and below it. */
  listGrants(below?: Inode): Promise<(AccessGrant & { readonly path: string })[]>;
  /** Replaces what the same person granted to the same subject there. Throws `not_authenticated` when that person was revoked. */
  grant(grant: Omit<AccessGrant, "grantedMs">): Promise<void>;
  /** `grantedBy` undefined revokes whoever granted it. Throws `not_found` when there is none. Voids the tickets of whom it concerns, also of those to whom it was passed on. */
  revokeGrant(request: {
    readonly inode: Inode;
    readonly subject: SubjectPattern;
    readonly grantedBy?: GlobalName | undefined;
    readonly by: GlobalName;
  }): Promise<void>;
  /** Voids the tickets that rest on grants which ended after `fromMs`, until now: nodes accept a ticket for some minutes after its end. */
  withdrawEnded(fromMs: number): Promise<void>;
}

export interface Invite {
  readonly id: string;
  readonly kind: InviteKind;
  /** Whom it is for; then it also adds a key to a name that is taken. Null for whoever holds the code. */
  readonly name: GlobalName | null;
  /** `path` is where the directory is now, null when it is gone. */
  readonly grants: readonly { readonly inode: Inode; readonly path: string | null; readonly rights: readonly Right[] }[];
  readonly usesMax: number;
  readonly uses: number;
  readonly description: string;
  readonly createdMs: number;
  readonly createdBy: GlobalName;
  readonly expiresMs: number;
  readonly revokedMs: number | null;
}

export interface NewInvite extends Omit<Invite, "grants" | "uses" | "revokedMs"> {
  readonly grants: readonly { readonly inode: Inode; readonly rights: readonly Right[] }[];
  readonly secretHash: Uint8Array;
}

/** Secrets are kept as SHA-256 only. */
export interface InviteRegistry {
  createInvite(invite: NewInvite): Promise<void>;
  listInvites(): Promise<Invite[]>;
  /** Throws `not_found`. Idempotent. */
  revokeInvite(id: string, by: GlobalName): Promise<void>;
  /** What the secret opens, whatever state it is in; undefined when it is none. */
  inviteBySecret(secretHash: Uint8Array): Promise<Invite | undefined>;
  /**
   * Takes one use, enrols the key and makes the grants, all or nothing; however many race for it, there
   * are never more than `usesMax`. The same key redeeming again takes no second use. Throws `permission_denied` when it is used up, expired or
   * revoked, `conflict` when the name is somebody else's, `not_found` when a directory that the code grants rights on is gone.
   */
  redeemInvite(request: { readonly id: string; readonly name: GlobalName; readonly publicKeyRaw: Uint8Array }): Promise<void>;
}

/** Another member whose authority is trusted for its own site. */
export interface Peer {
  readonly member: GlobalName;
  readonly authorityPem: string;
  /** Of its coordinator, as it was shown last: it certifies the key that signs the member's statements. */
  readonly coordinatorPem: string;
  /** `host:port` of its control API, where it was known last. */
  readonly address: string;
  /** Who vouched for it; null for one that came by a code or under a federation root. */
  readonly introducer: GlobalName | null;
  /** Fingerprint of the federation root that it came under. */
  readonly root: string | null;
  readonly addedMs: number;
  /** Trust ended then. Such a member comes back by a code or the administrator's word alone. */
  readonly removedMs: number | null;
}

export type NewPeer = Pick<Peer, "member" | "authorityPem" | "coordinatorPem" | "address"> & Partial<Pick<Peer, "introducer" | "root">>;

/** One member has a site, and no site lies inside another's: what would break that is `conflict` and changes nothing. */
export interface PeerRegistry {
  /** By name; with those that were removed. */
  listPeers(): Promise<Peer[]>;
  /** By a code of the other member's, or a command to connect, which `by` has typed. Ends a removal. Idempotent. */
  addPeer(peer: NewPeer, by: GlobalName): Promise<void>;
  /** By a code of ours: takes one use of it, and no second one for the same member. Throws as `redeemInvite`. */
  redeemPeerInvite(request: { readonly id: string; readonly peer: NewPeer }): Promise<void>;
  /** Without anybody's command: vouched for by its `introducer`, or under the `root`. `conflict` for one that was removed. Idempotent. */
  admitPeer(peer: NewPeer): Promise<void>;
  /** Brings certificate and address up to date; nothing for a member that is no peer. */
  updatePeer(member: GlobalName, change: Partial<Pick<Peer, "coordinatorPem" | "address">>): Promise<void>;
  /** Ends trust, and voids the tickets of all people of its site. Throws `not_found` for whom nobody knows. Idempotent. */
  removePeer(member: GlobalName, by: GlobalName): Promise<void>;
}

export interface AuditEntry {
  readonly seq: number;
  readonly atMs: number;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface AuditTrail {
  /** Newest first. */
  listAudit(page: { readonly beforeSeq?: number | undefined; readonly limit: number }): Promise<AuditEntry[]>;
}
