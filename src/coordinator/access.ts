/** Who may call what. People of the own site may use its files; its administrator may also issue certificates. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import type { Caller } from "../net/control-app.ts";

export function requirePerson(caller: Caller, member: GlobalName): void {
  const site = siteOf(member);
  if (siteOf(caller.name) !== site)
    throw new CollectiveError("permission_denied", `${caller.name} is not of ${site}, and nothing was shared with ${siteOf(caller.name)}`);
  if (caller.kind !== "user") throw new CollectiveError("permission_denied", `a ${caller.kind} may not use files; ${caller.name} is one`);
}

/** The administrator is the person who has the member's own name. */
export function requireAdministrator(caller: Caller, member: GlobalName): void {
  requirePerson(caller, member);
  if (caller.name !== member) throw new CollectiveError("permission_denied", `only ${member} may do this, not ${caller.name}`);
}
