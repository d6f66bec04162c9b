/**
 * Becoming the peer of a member without its code, by the administrator's command: on the word of members that are trusted, whose
 * signed introduction says which authority is its own, or because both are under one federation root.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import type { Introduction } from "../gossip/introductions.ts";
import { coordinatorOf } from "../pki/peering.ts";
import { assertFits } from "./peering.ts";
import { joinUnderRoot } from "./root-peering.ts";
import type { CoordinatorService } from "./service.ts";

export interface ConnectWish {
  readonly member: GlobalName;
  /** Tried besides what others say of it. */
  readonly address: string | undefined;
  readonly by: GlobalName;
}

export interface Connected {
  readonly address: string;
  /** Why it is trusted: it was before, or by whose word, or because of the root. */
  readonly trust: "before" | "introduced" | "root";
  readonly introducer: GlobalName | null;
}

/** Throws `not_found` when nobody vouches for it and no root does, `conflict` where those who vouch disagree or its site is taken. */
export async function connectPeer(service: CoordinatorService, { member, address, by }: ConnectWish): Promise<Connected> {
  const { peers, federation, membership } = service;
  if (member === service.member) throw new CollectiveError("invalid_argument", `${member} is this member itself`);
  if (address !== undefined) federation.hint(member, address);
  const known = peers.get(member);
  if (known) return { address: address ?? known.address, trust: "before", introducer: known.introducer };
  const introduction = agreedIntroduction(federation.introductions().filter((one) => one.member === member));
  const place = address ?? introduction?.addresses[0];
  let refusal: CollectiveError | undefined;
  if (membership && place !== undefined) {
    try {
      const peer = await joinUnderRoot(service, { member, address: place, by });
      return { address: peer.address, trust: "root", introducer: null };
    } catch (error) {
      refusal = toCollectiveError(error);
    }
  }
  if (introduction && place !== undefined) return await accept(service, { introduction, address: place, by });
  throw refusal ?? unknown(service, member);
}

async function accept(
  service: CoordinatorService,
  { introduction, address, by }: { readonly introduction: Introduction; readonly address: string; readonly by: GlobalName },
): Promise<Connected> {
  const { member, authorityPem, coordinatorPem, introducedBy: introducer } = introduction;
  coordinatorOf(member, introduction);
  assertFits(service, { site: siteOf(member), authorityPem });
  const [told] = introduction.addresses;
  if (told !== undefined) service.federation.hint(member, told);
  await service.metadata.addPeer({ member, authorityPem, coordinatorPem, address, introducer }, by);
  await service.peers.refresh();
  service.log.info("peer added", { member, address, introducer, by });
  return { address, trust: "introduced", introducer };
}

/** The first of those that vouch for a member; all have to mean the same one. */
function agreedIntroduction(introductions: readonly Introduction[]): Introduction | undefined {
  const [first] = introductions;
  const other = introductions.find(({ authorityPem }) => authorityPem !== first?.authorityPem);
  if (!first || !other) return first;
  throw new CollectiveError(
    "conflict",
    `${first.introducedBy} and ${other.introducedBy} vouch for ${first.member} with different certificate authorities`,
    { hint: `ask ${first.member} for a code, which says which one is right` },
  );
}

function unknown({ member: self, membership }: CoordinatorService, member: GlobalName): CollectiveError {
  const code = `ask ${member} for a code: collective invite generate --for member there, collective federation peer add CODE here`;
  const hint = membership ? `with its ADDRESS, it is asked whether it is under the same federation root; or ${code}` : code;
  return new CollectiveError("not_found", `nobody that ${self} trusts vouches for ${member}`, { hint });
}
