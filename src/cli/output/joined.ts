/** What somebody sees who has just joined: as who, with which rights, and what to type next. */
import type { CredentialPlaces, Joined, Membership } from "../../client/redeem.ts";
import type { Io } from "../io.ts";
import { grantLines, jsonGrants } from "./invites.ts";
import { printJson } from "./json.ts";

interface Output {
  readonly json: boolean;
  readonly io: Io;
}

export function printJoined(joined: Joined, { json, io }: Output): void {
  const { context } = joined;
  if (json) {
    printJson({ context: context.name, current: context.isCurrent, ...jsonMembership(joined) }, io.stdout);
    return;
  }
  const [first] = joined.grants;
  io.stdout.write(`${[...membershipLines(joined), `context ${context.name}${context.isCurrent ? ", current" : ""}`].join("\n")}\n`);
  if (!context.isCurrent) io.stderr.write(`make it the current one with: collective identity switch ${context.name}\n`);
  else if (first) io.stderr.write(`next: collective ls ${first.path}\n`);
}

export function printKept(membership: Membership, places: CredentialPlaces, { json, io }: Output): void {
  const { authorityFile, certificateFile, keyFile } = places;
  if (json) {
    printJson({ ca: authorityFile, cert: certificateFile, key: keyFile, ...jsonMembership(membership) }, io.stdout);
    return;
  }
  io.stdout.write(`${[...membershipLines(membership), `credentials ${keyFile}, ${certificateFile}, ${authorityFile}`].join("\n")}\n`);
}

function jsonMembership({ member, coordinator, credentials, grants }: Membership): Record<string, unknown> {
  return {
    member,
    coordinator,
    identity: credentials.identity.name,
    grants: jsonGrants(grants),
    expires: new Date(credentials.info.notAfterMs).toISOString(),
  };
}

function membershipLines({ member, credentials, grants }: Membership): string[] {
  return [
    `joined ${member} as ${credentials.identity.name}`,
    ...(grants.length === 0 ? [] : [`you may use ${grantLines(grants).join(", ")}`]),
  ];
}
