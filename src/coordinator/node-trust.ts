/** Whom a node shall trust, as heartbeats carry it: whom its coordinator does, and by whose keys the tickets of peers are signed. */
import { createHash } from "node:crypto";
import { siteOf } from "../../protocol/ids.ts";
import type { NodeTrust } from "../../protocol/schema.ts";
import type { CoordinatorService } from "./service.ts";

/** What a node has to know that knows `revision`; undefined when that is all. A certificate renewed for the same key is no news. */
export function nodeTrustSince(
  { credentials, peers }: Pick<CoordinatorService, "credentials" | "peers">,
  revision: string | undefined,
): NodeTrust | undefined {
  const { trust } = credentials();
  const coordinators = new Map(peers.list().map((peer) => [siteOf(peer.member), peer]));
  const hash = createHash("sha256").update(trust.revision);
  for (const [site, { publicKeyRaw }] of coordinators) hash.update(site).update(publicKeyRaw);
  const current = hash.digest("base64url");
  if (current === revision) return undefined;
  const authorities = trust.authorities.map(({ site, pem }) => ({
    authorityPem: pem,
    coordinatorPem: coordinators.get(site)?.coordinatorPem,
  }));
  return { revision: current, authorities };
}
