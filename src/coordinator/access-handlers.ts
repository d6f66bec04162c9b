/** Granting, listing and revoking rights. Who may grant what is decided here; what a grant is worth at any moment, in held-rights.ts. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Inode, rootInode } from "../../protocol/ids.ts";
import { rights as everyRight, formatRights, matchesSubject, type Right } from "../../protocol/rights.ts";
import type { ListedGrant } from "../../protocol/schema.ts";
import type { AccessGrant } from "../meta/people.ts";
import type { ControlHandlers } from "../net/control-app.ts";
import { type Clearance, createAccess } from "./access.ts";
import { type HeldRights, rightsInForce } from "./held-rights.ts";
import type { CoordinatorService } from "./service.ts";

type AccessRoutes = "grantAccess" | "listAccess" | "revokeAccess";

export function createAccessHandlers(service: CoordinatorService): Pick<ControlHandlers, AccessRoutes> {
  const { metadata, member, clock } = service;
  const access = createAccess(service);
  const nowMs = (): number => Math.trunc(clock.wallMs());
  const listed = async (grant: AccessGrant & { readonly path: string }): Promise<ListedGrant> => {
    const { inode, ...rest } = grant;
    const grants = await metadata.grantsAbove(inode);
    const inForce = rightsInForce(grant, { administrator: member, grants, nowMs: nowMs() });
    return { ...rest, rights: inOrder(grant.rights), inForce: inOrder([...inForce.keys()]) };
  };
  return {
    grantAccess: async ({ inode, subject, rights, validityMs }, { caller }) => {
      const clearance = access.of(caller);
      if (inode === rootInode) {
        throw new CollectiveError("invalid_argument", "rights are granted on a datastore or a directory in one, not on the root");
      }
      // The answer shows the path, which is not for whoever may share it and see nothing of it.
      await clearance.needVisible(inode);
      const endsMs = await shareableUntil(clearance, { person: caller.name, inode, rights });
      const wishedMs = validityMs === undefined ? endsMs : nowMs() + validityMs;
      if (wishedMs > endsMs) {
        throw new CollectiveError("permission_denied", `${caller.name} has these rights until ${new Date(endsMs).toISOString()}`, {
          hint: "grant them for no longer, or leave the time out",
        });
      }
      const expiresMs = wishedMs === Number.POSITIVE_INFINITY ? null : wishedMs;
      await metadata.grant({ inode, subject, rights, grantedBy: caller.name, expiresMs });
      const path = (await metadata.pathOf(inode)) ?? "";
      return await listed({ inode, path, subject, rights, grantedBy: caller.name, grantedMs: nowMs(), expiresMs });
    },
    listAccess: async ({ inode }, { caller }) => {
      const clearance = access.of(caller);
      if (inode !== undefined) await clearance.needVisible(inode);
      const grants = await metadata.listGrants(inode);
      const shareable = clearance.isAdministrator ? grants : await shareableAmong(grants, { person: caller.name, clearance });
      return { grants: await Promise.all(shareable.map(listed)) };
    },
    revokeAccess: async ({ inode, subject }, { caller }) => {
      const clearance = access.of(caller);
      if (clearance.isAdministrator) {
        await metadata.revokeGrant({ inode, subject, by: caller.name });
        return {};
      }
      await clearance.needVisible(inode);
      const there = (await metadata.grantsAbove(inode)).filter((grant) => grant.inode === inode && grant.subject === subject);
      const others = there.filter((grant) => grant.grantedBy !== caller.name).map((grant) => grant.grantedBy);
      if (others.length > 0 && others.length === there.length && (await clearance.rightsOn(inode)).has("share")) {
        throw new CollectiveError("permission_denied", `${others.join(", ")} granted it, and only they or ${member} may revoke it`);
      }
      await metadata.revokeGrant({ inode, subject, grantedBy: caller.name, by: caller.name });
      return {};
    },
  };
}

function inOrder(some: readonly Right[]): Right[] {
  return everyRight.filter((right) => some.includes(right));
}

interface Wish {
  readonly person: GlobalName;
  readonly inode: Inode;
  readonly rights: readonly Right[];
}

/** Until when the person may pass these rights on. Throws when it may not, or has not all of them. */
async function shareableUntil(clearance: Clearance, { person, inode, rights }: Wish): Promise<number> {
  await clearance.need("share", inode);
  const held = await clearance.rightsOn(inode);
  const lacking = rights.filter((right) => !held.has(right));
  if (lacking.length > 0) {
    throw new CollectiveError("permission_denied", `${person} has not been granted ${formatRights(lacking)} there, and cannot pass it on`);
  }
  const ends = ["share" as const, ...rights].map((right) => held.get(right) ?? 0);
  return Math.min(...ends);
}

/** Of the places that the person sees: grants where it may share, and those to itself. */
async function shareableAmong<G extends AccessGrant>(
  grants: readonly G[],
  { person, clearance }: { readonly person: GlobalName; readonly clearance: Clearance },
): Promise<G[]> {
  const heldOn = new Map<Inode, HeldRights>();
  for (const inode of new Set(grants.map((grant) => grant.inode))) heldOn.set(inode, await clearance.rightsOn(inode));
  const ways = await clearance.ways();
  return grants.filter(({ inode, subject }) => {
    const held = heldOn.get(inode);
    const isVisible = ways.has(inode) || held?.has("read") === true;
    return isVisible && (held?.has("share") === true || matchesSubject(subject, person));
  });
}
