/**
 * Two members become peers by one code. The one that was given the code pins the other's authority by it, then sends, over a
 * connection that it has verified, its own authority and certificate and a proof that it holds the key. The other
 * takes a use of the code and trusts it; it trusts the other when it has the answer. Either half may be repeated.
 *
 * Invariant: nothing changes, on either side, when a site is known with another authority or overlaps with a known one.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { type InviteCode, parseInviteCode } from "../../protocol/invite.ts";
import { reachedLike } from "../client/redeem.ts";
import { formatHostPort } from "../core/units.ts";
import type { Invite, NewPeer } from "../meta/people.ts";
import type { BootstrapHandlers } from "../net/bootstrap-app.ts";
import { createBootstrapClient } from "../net/bootstrap-client.ts";
import { secretHashOf } from "../pki/invite-hashes.ts";
import { coordinatorOf, openPeering, signPeering } from "../pki/peering.ts";
import { readAuthority, sitesOverlap } from "../pki/trust-bundle.ts";
import type { CoordinatorService } from "./service.ts";

type PeerRequest = Parameters<BootstrapHandlers["peer"]>[0];
type PeerAnswer = Awaited<ReturnType<BootstrapHandlers["peer"]>>;

/** The half of the one that was given the code. */
export async function joinPeer(service: CoordinatorService, { text, by }: { text: string; by: GlobalName }): Promise<NewPeer> {
  const code = memberCode(text);
  const { member, address, metadata } = service;
  const client = createBootstrapClient(service);
  const found = await client.find(code);
  assertFits(service, found);
  const { certificatePem } = service.credentials();
  const claim = { member, address, inviter: found.site, basis: secretHashOf(code.secret) };
  const answer = await client.peer(found, {
    ...{ secret: code.secret, member, address, coordinatorPem: certificatePem, authorityPem: service.certificates.authorityPem },
    proof: signPeering(service.signer(), claim),
  });
  const { coordinatorPem } = answer;
  const peer = {
    member: answer.member,
    authorityPem: found.authorityPem,
    coordinatorPem,
    address: reachedLike(found.address, answer.address),
  };
  coordinatorOf(peer.member, peer);
  await metadata.addPeer(peer, by);
  await service.peers.refresh();
  service.log.info("peer added", { member: peer.member, address: peer.address, by });
  return peer;
}

function memberCode(text: string): InviteCode {
  const code = parseInviteCode(text);
  if (code.kind === "member") return code;
  throw new CollectiveError("invalid_argument", `this code is for a ${code.kind}, not for another member's coordinator`, {
    hint: "ask for another one: collective invite generate --for member",
  });
}

/** The half of the one whose code it is. `invite` is what the secret has opened. */
export async function acceptPeer(
  service: CoordinatorService,
  { request, invite, source }: { readonly request: PeerRequest; readonly invite: Invite; readonly source: string },
): Promise<PeerAnswer> {
  const { member, authorityPem, coordinatorPem } = request;
  if (readAuthority(authorityPem).site !== siteOf(member))
    throw new CollectiveError("not_authenticated", `the certificate authority that ${member} shows is not one of ${siteOf(member)}`);
  const claim = openPeering(request.proof, coordinatorOf(member, request).publicKeyRaw);
  const isAboutThis =
    claim.member === member &&
    claim.address === request.address &&
    claim.inviter === siteOf(service.member) &&
    Buffer.compare(claim.basis, secretHashOf(request.secret)) === 0;
  if (!isAboutThis) throw new CollectiveError("not_authenticated", "the proof is about another request");
  assertFits(service, { site: siteOf(member), authorityPem });
  const address = reachedLike(formatHostPort({ host: source, port: 0 }), request.address);
  await service.metadata.redeemPeerInvite({ id: invite.id, peer: { member, authorityPem, coordinatorPem, address } });
  await service.peers.refresh();
  service.log.info("peer added", { member, address, invite: invite.id, source });
  return { member: service.member, coordinatorPem: service.credentials().certificatePem, address: service.address };
}

/** Against all that is trusted here, however it came to that. Throws `conflict`. */
export function assertFits(
  { member, credentials }: Pick<CoordinatorService, "member" | "credentials">,
  { site, authorityPem }: { readonly site: string; readonly authorityPem: string },
): void {
  const other = credentials().trust.authorities.find((known) => sitesOverlap(known.site, site as typeof known.site));
  if (!other) return;
  const own = siteOf(member);
  if (other.site === own) throw new CollectiveError("conflict", `${site} is the site of ${member}, or overlaps with it`);
  if (other.site === site && other.pem === authorityPem) return;
  const reason =
    other.site === site
      ? `${site} is known with another certificate authority`
      : `the sites ${site} and ${other.site} lie one inside the other`;
  throw new CollectiveError("conflict", reason, {
    hint: "if the one that is known is no more, end its trust first: collective federation peer remove MEMBER",
  });
}
