/**
 * Members that a trusted member vouches for. Nothing they say is taken until the trust policy admits them;
 * what is passed to it has been checked for what gossip can check.
 *
 * Invariant: an introduction opens a site that nobody known here has, and no part of one. A liar can bring in
 * members of its own making, shown with its name; it cannot bring in a second owner of another's site.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { decodeRecordBody } from "../../protocol/gossip-records.ts";
import { type GlobalName, type Site, siteOf } from "../../protocol/ids.ts";
import { readAuthority, sitesOverlap } from "../pki/trust-bundle.ts";
import type { GossipRecord } from "./statements.ts";

export interface Introduction {
  readonly member: GlobalName;
  readonly authorityPem: string;
  /** Of the coordinator; whoever admits the member verifies it against the authority, and knows the key that signs. */
  readonly coordinatorPem: string;
  readonly addresses: readonly string[];
  readonly introducedBy: GlobalName;
}

/** Throws `invalid_argument` or `permission_denied` with the reason. `known` are the members whose sites are taken. */
export function readIntroduction(record: GossipRecord, known: Iterable<GlobalName>): Introduction {
  const { member, ...rest } = decodeRecordBody("introduction", record.body);
  const refuse = (reason: string) => new CollectiveError("permission_denied", `${record.member} introduces ${record.item}, but ${reason}`);
  if (member !== record.item) throw refuse(`the introduction is of ${member}`);
  const site = siteOf(member);
  for (const other of known) if (other !== member && sitesOverlap(site, siteOf(other))) throw refuse(`${site} is the site of ${other}`);
  if (authoritySite(rest.authorityPem) !== site) throw refuse(`the certificate authority it shows is not one of ${site}`);
  return { member, ...rest, introducedBy: record.member };
}

function authoritySite(pem: string): Site | undefined {
  try {
    return readAuthority(pem).site;
  } catch (error) {
    if (error instanceof CollectiveError) return undefined;
    throw error;
  }
}
