/** Members under a federation root, inside the test's process. */
import type { GlobalName } from "../../protocol/ids.ts";
import type { Authority } from "../../src/pki/authority.ts";
import { formatMembership, type Membership, type RootKeys, readMembership, signMember } from "../../src/pki/federation-root.ts";
import { startTestMember, type TestMember, type TestMemberOptions } from "./member.ts";

export async function membershipUnder(root: RootKeys, authority: Authority): Promise<Membership> {
  const membershipPem = await signMember(root, authority.certificatePem, Date.now());
  return readMembership(formatMembership({ membershipPem, rootPem: root.certificatePem }), authority.certificatePem);
}

export function startMemberUnder(root: RootKeys, member: GlobalName, options: TestMemberOptions = {}): Promise<TestMember> {
  return startTestMember({ membershipOf: (authority) => membershipUnder(root, authority), ...options, member });
}

export function peersOf(member: TestMember): GlobalName[] {
  return member.service.peers.list().map((peer) => peer.member);
}
