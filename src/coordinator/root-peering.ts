/**
 * Two members under one federation root become peers without a code. The one that asks first looks at what the other shows, and says
 * nothing of itself before it is the authority that the root has signed for that site. Then each proves in one TLS handshake that it
 * holds the key of its coordinator's certificate; the asker signs whom it means, besides.
 *
 * Invariant: what is trusted afterwards is the member's own authority, for its own site. Nothing changes, on either side, when that
 * site is known with another authority, nor where the member was removed.
 */
import { X509Certificate } from "node:crypto";
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Site, siteOf } from "../../protocol/ids.ts";
import { reachedLike } from "../client/redeem.ts";
import { formatHostPort } from "../core/units.ts";
import { wasRemoved } from "../meta/peers.ts";
import type { NewPeer } from "../meta/people.ts";
import type { RootHandlers } from "../net/control-app.ts";
import { askMembership, askRootPeer } from "../net/root-client.ts";
import { readCertificate } from "../pki/certificate.ts";
import { type Membership, siteUnderRoot } from "../pki/federation-root.ts";
import { coordinatorOf, openPeering, signPeering } from "../pki/peering.ts";
import { assertFits } from "./peering.ts";
import type { CoordinatorService } from "./service.ts";

export interface RootJoin {
  readonly member: GlobalName;
  readonly address: string;
  /** The administrator who asks for it, which ends a removal; undefined for the configuration, which does not. */
  readonly by?: GlobalName | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Throws `not_found` where one of the two is under no root, and as the checks of the certificates do. */
export async function joinUnderRoot(service: CoordinatorService, { member, address, by, signal }: RootJoin): Promise<NewPeer> {
  const own = membershipOf(service);
  if (by === undefined) await assertNotRemoved(service, member);
  const shown = await askMembership(address, signal);
  const site = siteUnderRoot(own.rootPem, shown, service.clock.wallMs());
  if (site !== siteOf(member)) throw new CollectiveError("not_authenticated", `at ${address} is the member of ${site}, not ${member}`);
  const { authorityPem } = shown;
  assertFits(service, { site, authorityPem });
  const claim = { member: service.member, address: service.address, inviter: site, basis: Buffer.from(own.rootFingerprint, "hex") };
  const answer = await askRootPeer({
    ...{ address, site, authorityPem, credentials: service.credentials(), signal },
    request: {
      ...{ member: service.member, address: service.address, membershipPem: own.membershipPem },
      authorityPem: service.certificates.authorityPem,
      proof: signPeering(service.signer(), claim),
    },
  });
  if (answer.member !== member) throw new CollectiveError("not_authenticated", `at ${address} is ${answer.member}, not ${member}`);
  const peer = { member, authorityPem, coordinatorPem: answer.coordinatorPem, address, root: own.rootFingerprint };
  coordinatorOf(member, peer);
  if (by === undefined) await service.metadata.admitPeer(peer);
  else await service.metadata.addPeer(peer, by);
  await service.peers.refresh();
  service.log.info("peer added", { member, address, root: own.rootFingerprint, by });
  return peer;
}

/** Before the other side is asked, which would trust us then. */
async function assertNotRemoved({ metadata }: CoordinatorService, member: GlobalName): Promise<void> {
  const known = (await metadata.listPeers()).find((peer) => peer.member === member);
  if (known && known.removedMs !== null) throw wasRemoved(member);
}

/** The half of the one that is asked. */
export function createRootHandlers(service: CoordinatorService): RootHandlers {
  const { member: self, clock, log } = service;
  return {
    membership: async () => {
      const { membershipPem } = membershipOf(service);
      return { authorityPem: service.certificates.authorityPem, membershipPem };
    },
    peer: async (request, { certificateRaw, source }) => {
      const own = membershipOf(service);
      const { member, authorityPem } = request;
      const refuse = (reason: string) => new CollectiveError("not_authenticated", reason);
      const site = siteUnderRoot(own.rootPem, request, clock.wallMs());
      if (site !== siteOf(member)) throw refuse(`the certificate authority that ${member} shows is that of ${site}`);
      if (!certificateRaw) throw refuse(`${member} presented no certificate of its coordinator`);
      const coordinatorPem = new X509Certificate(certificateRaw).toString();
      const { publicKeyRaw } = coordinatorOf(member, { authorityPem, coordinatorPem });
      if (readCertificate(coordinatorPem).notAfterMs < clock.wallMs()) throw refuse(`the certificate of ${member} has expired`);
      assertIsAboutThis(openPeering(request.proof, publicKeyRaw), { request, own, site: siteOf(self) });
      assertFits(service, { site, authorityPem });
      const address = reachedLike(formatHostPort({ host: source, port: 0 }), request.address);
      await service.metadata.admitPeer({ member, authorityPem, coordinatorPem, address, root: own.rootFingerprint });
      await service.peers.refresh();
      log.info("peer added", { member, address, root: own.rootFingerprint, source });
      return { member: self, coordinatorPem: service.credentials().certificatePem };
    },
  };
}

interface Asked {
  readonly request: Parameters<RootHandlers["peer"]>[0];
  readonly own: Membership;
  readonly site: Site;
}

function assertIsAboutThis(claim: ReturnType<typeof openPeering>, { request, own, site }: Asked): void {
  const isAboutThis =
    claim.member === request.member &&
    claim.address === request.address &&
    claim.inviter === site &&
    Buffer.from(claim.basis).toString("hex") === own.rootFingerprint;
  if (!isAboutThis) throw new CollectiveError("not_authenticated", "the proof is about another request");
}

function membershipOf({ member, membership }: CoordinatorService): Membership {
  if (membership) return membership;
  throw new CollectiveError("not_found", `${member} is under no federation root`, {
    hint: "become peers by a code: collective invite generate --for member at one, collective federation peer add CODE at the other",
  });
}
