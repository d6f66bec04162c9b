/** Several members in the test's own process, each a peer of the first one, with a command line at each. */
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createAuthority } from "../../src/pki/authority.ts";
import { type CliMember, startCliMember } from "./cli.ts";

export interface CliMembers extends AsyncDisposable {
  /** In the order of their names given. */
  readonly members: readonly CliMember[];
}

/** Their nodes trust people of all of them, as heartbeats would have it. */
export async function startCliMembers(names: readonly GlobalName[]): Promise<CliMembers> {
  const authorities = await Promise.all(names.map((member) => createAuthority({ site: siteOf(member), member, clock: systemClock })));
  const members = await Promise.all(
    names.map((member, index) => {
      const authority = authorities[index];
      const trusted = authorities.filter((other) => other !== authority).map(({ certificatePem }) => certificatePem);
      return startCliMember({ member, trusted, ...(authority ? { authority } : {}) });
    }),
  );
  const [first, ...others] = members;
  for (const other of others) {
    const wish = { kind: "member" as const, grants: [], usesMax: 1, validityMs: 3_600_000, description: "" };
    const made = await first?.remote.control.call(routes.createInvite, wish);
    await other.remote.control.call(routes.addPeer, { code: made?.code ?? "" });
  }
  return {
    members,
    [Symbol.asyncDispose]: async () => void (await Promise.all(members.map((member) => member[Symbol.asyncDispose]()))),
  };
}
