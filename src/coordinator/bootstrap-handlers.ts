/**
 * What is done for somebody who has nothing but a code. The order matters: what can be refused is refused
 * first, then the use is taken, and only then is a certificate made. Whoever loses the answer asks again.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type IdentityKind, siteOf } from "../../protocol/ids.ts";
import type { Invite } from "../meta/people.ts";
import type { BootstrapHandlers } from "../net/bootstrap-app.ts";
import { requestedKeyOf } from "../pki/certificate-request.ts";
import { secretHashOf } from "../pki/invite-hashes.ts";
import { issueCertificate, nameInSite } from "./certificate-handlers.ts";
import { createGuessLimits } from "./guess-limits.ts";
import type { CoordinatorService } from "./service.ts";

export function createBootstrapHandlers(service: CoordinatorService): BootstrapHandlers {
  const { metadata, member, redemptions, log } = service;
  const limits = createGuessLimits(service.clock);
  const assertMayTry = (source: string): void => {
    try {
      limits.assertMayTry(source);
    } catch (error) {
      redemptions.limited++;
      log.debug("redemption not looked at", { source });
      throw error;
    }
  };
  const inviteOf = async (secret: Uint8Array, source: string): Promise<Invite> => {
    // By its hash, so that how long the search takes tells nothing about the secret.
    const invite = await metadata.inviteBySecret(secretHashOf(secret));
    if (invite) return invite;
    limits.wrong(source);
    throw new CollectiveError("not_found", `this code is not one of ${member}'s`, { hint: "ask for a new one" });
  };
  const redeem: BootstrapHandlers["redeem"] = async ({ secret, csrPem, name: wanted, suggestedName }, source) => {
    const invite = await inviteOf(secret, source);
    const publicKeyRaw = requestedKeyOf(csrPem);
    const given = wanted ?? invite.name ?? suggestedName;
    if (given === undefined) throw new CollectiveError("invalid_argument", "this code is for whoever holds it, so say who you are");
    const identity = { kind: kindOf(invite), name: nameInSite(given, siteOf(member)) } as const;
    assertFree(service, { invite, ...identity, publicKeyRaw });
    await metadata.redeemInvite({ id: invite.id, name: identity.name, publicKeyRaw });
    await service.revocations.refresh();
    const { certificatePem } = await issueCertificate(service, { csrPem, identity });
    log.info("invite redeemed", { id: invite.id, ...identity, source });
    const grants = invite.grants.flatMap(({ path, rights }) => (path === null ? [] : [{ path, rights: [...rights] }]));
    return { certificatePem, member, coordinators: [service.address], grants };
  };
  return {
    authority: async () => ({ authorityPem: service.certificates.authorityPem }),
    redeem: async (input, source) => {
      assertMayTry(source);
      try {
        const redeemed = await redeem(input, source);
        redemptions.redeemed++;
        return redeemed;
      } catch (error) {
        redemptions.refused++;
        throw error;
      }
    },
  };
}

function kindOf({ kind }: Invite): Exclude<IdentityKind, "coordinator"> {
  return kind === "node" ? "node" : "user";
}

interface Claim {
  readonly invite: Invite;
  readonly kind: IdentityKind;
  readonly name: GlobalName;
  readonly publicKeyRaw: Uint8Array;
}

/**
 * Names that are taken without an enrolment: the administrator's, and those of nodes that joined from the
 * coordinator's directory. Only a code that was made for such a name may add a key to it.
 */
function assertFree({ member, directory }: CoordinatorService, { invite, kind, name, publicKeyRaw }: Claim): void {
  if (invite.name === name) return;
  const node = kind === "node" ? directory.get(name) : undefined;
  const isOther = node !== undefined && Buffer.compare(node.publicKeyRaw, publicKeyRaw) !== 0;
  if ((kind === "user" && name === member) || isOther) throw nameTaken(name);
}

function nameTaken(name: GlobalName): CollectiveError {
  return new CollectiveError("conflict", `the name ${name} is taken`, {
    hint: "choose another one, or ask for a code that was made for this name",
  });
}
