/** Making, listing and revoking invites. Redeeming them is for the bootstrap port: bootstrap-handlers.ts. */
import { CollectiveError } from "../../protocol/errors.ts";
import { rootInode, siteOf } from "../../protocol/ids.ts";
import { type BootstrapAddress, formatInviteCode, inviteSecretBytes } from "../../protocol/invite.ts";
import { rights as allRights, type Right } from "../../protocol/rights.ts";
import { isAnyHost } from "../core/config-values.ts";
import { formatHostPort, parseHostPort } from "../core/units.ts";
import type { Invite, NewInvite } from "../meta/people.ts";
import type { ControlHandlers } from "../net/control-app.ts";
import { authorityPinOf, secretHashOf } from "../pki/invite-hashes.ts";
import { requireAdministrator } from "./access.ts";
import { nameInSite } from "./certificate-handlers.ts";
import type { CoordinatorService } from "./service.ts";

type InviteRoutes = "createInvite" | "listInvites" | "revokeInvite";

export function createInviteHandlers(service: CoordinatorService): Pick<ControlHandlers, InviteRoutes> {
  const { metadata, member, clock, random } = service;
  return {
    createInvite: async ({ kind, name, grants, usesMax, validityMs, description, addresses }, { caller }) => {
      requireAdministrator(caller, member);
      if (kind !== "person" && grants.length > 0)
        throw new CollectiveError("invalid_argument", `rights are for people, an invite for a ${kind} gives none`);
      if (kind === "member" && name !== undefined)
        throw new CollectiveError("invalid_argument", "a member brings its own name, an invite cannot choose it");
      const places = (addresses ?? [service.bootstrapAddress]).map(reachable);
      const secret = random.bytes(inviteSecretBytes);
      const authorityPin = authorityPinOf(service.certificates.authorityPem);
      const code = formatInviteCode({ kind, authorityPin, secret, addresses: places });
      const createdMs = clock.wallMs();
      const invite: NewInvite = {
        id: newInviteId(service),
        kind,
        name: name === undefined ? null : nameInSite(name, siteOf(member)),
        grants: joined(await Promise.all(grants.map(({ components, rights }) => grantOf(service, components, rights)))),
        usesMax,
        description,
        createdMs,
        createdBy: caller.name,
        expiresMs: createdMs + validityMs,
        secretHash: secretHashOf(secret),
      };
      await metadata.createInvite(invite);
      service.log.info("invite created", { id: invite.id, kind, by: caller.name });
      return { code, addresses: places.map(formatHostPort), invite: summaryOf(await inviteById(service, invite.id)) };
    },
    listInvites: async (_, { caller }) => {
      requireAdministrator(caller, member);
      return { invites: (await metadata.listInvites()).map(summaryOf) };
    },
    revokeInvite: async ({ invite: which }, { caller }) => {
      requireAdministrator(caller, member);
      const id = "id" in which ? which.id : (await metadata.inviteBySecret(which.secretHash))?.id;
      if (id === undefined) throw new CollectiveError("not_found", `this code is not one of ${member}'s`);
      await metadata.revokeInvite(id, caller.name);
      return summaryOf(await inviteById(service, id));
    },
  };
}

function reachable(text: string): BootstrapAddress {
  const address = parseHostPort(text);
  if (address.port !== 0 && !isAnyHost(address)) return address;
  throw new CollectiveError("invalid_argument", `${text} is not an address that others can connect to`);
}

const idCharacters = "0123456789abcdefghjkmnpqrstvwxyz";
const idLength = 8;

/** As `inviteIdPattern` has it; 2^40 of them do not collide, and the database would refuse it. */
function newInviteId({ random }: CoordinatorService): string {
  return Array.from(random.bytes(idLength), (byte) => idCharacters[byte % idCharacters.length]).join("");
}

async function grantOf(
  { metadata }: CoordinatorService,
  components: readonly string[],
  rights: readonly Right[],
): Promise<NewInvite["grants"][number]> {
  const { attr } = await metadata.resolve(components);
  const path = `/${components.join("/")}`;
  if (!attr) throw new CollectiveError("not_found", `there is no ${path}`);
  if (attr.type !== "directory")
    throw new CollectiveError("not_a_directory", `${path} is not a directory, rights are granted on directories`);
  if (attr.inode === rootInode) throw new CollectiveError("invalid_argument", "rights are granted on a datastore or a directory in one");
  return { inode: attr.inode, rights };
}

/** One grant for each directory, however often it was named. */
function joined(grants: NewInvite["grants"]): NewInvite["grants"] {
  const byInode = Map.groupBy(grants, ({ inode }) => inode);
  return [...byInode].map(([inode, same]) => ({
    inode,
    rights: allRights.filter((right) => same.some((one) => one.rights.includes(right))),
  }));
}

async function inviteById({ metadata }: CoordinatorService, id: string): Promise<Invite> {
  const found = (await metadata.listInvites()).find((invite) => invite.id === id);
  if (!found) throw new CollectiveError("internal", `the invite ${id} has vanished`);
  return found;
}

function summaryOf({ grants, ...invite }: Invite) {
  return { ...invite, grants: grants.map(({ path, rights }) => ({ path, rights: [...rights] })) };
}
