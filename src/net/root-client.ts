/**
 * Becomes the peer of a member under the same federation root. The first connection trusts nobody and asks for nothing but what the
 * root has signed; the second one trusts that authority alone, verifies the coordinator by name and shows the own certificate.
 */

import type { Site } from "../../protocol/ids.ts";
import { rootBodyBytesMax, rootRoutes } from "../../protocol/root-routes.ts";
import type { RouteInput, RouteOutput } from "../../protocol/routes.ts";
import type { Credentials } from "../pki/credentials.ts";
import { askOnce } from "./ask-once.ts";
import { introducingTls, unverifiedTls } from "./tls.ts";

export type ShownMembership = RouteOutput<typeof rootRoutes.membership>;

/** Nothing about the answer is verified. Throws `not_found` for a member that is under no root, `unavailable`, `timed_out`. */
export function askMembership(address: string, signal?: AbortSignal): Promise<ShownMembership> {
  return askOnce(rootRoutes.membership, { address, tls: unverifiedTls, input: {}, answerBytesMax: rootBodyBytesMax, signal });
}

export interface RootPeering {
  readonly address: string;
  readonly site: Site;
  /** Verified: it is the site's. */
  readonly authorityPem: string;
  readonly credentials: Credentials;
  readonly request: RouteInput<typeof rootRoutes.peer>;
  readonly signal?: AbortSignal | undefined;
}

/** May be repeated. */
export function askRootPeer({
  address,
  site,
  authorityPem,
  credentials,
  request,
  signal,
}: RootPeering): Promise<RouteOutput<typeof rootRoutes.peer>> {
  const tls = introducingTls(credentials, authorityPem, site);
  return askOnce(rootRoutes.peer, { address, tls, input: request, answerBytesMax: rootBodyBytesMax, signal });
}
