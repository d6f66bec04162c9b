/**
 * Rights and to whom they are granted. A grant gives rights on one directory and all below it; rights of
 * several grants add up, and nothing takes one away but revoking or expiry.
 */
import { z } from "zod";
import { CollectiveError } from "./errors.ts";
import { type GlobalName, parseLocalName, parseSite } from "./ids.ts";

/**
 * `read` lists, reads and stats. `write` makes and changes files and directories. `delete` removes them or moves them
 * out of their directory. `share` passes on what its holder has. The position is the bit in the database, so append only.
 */
export const rights = ["read", "write", "delete", "share"] as const;
export type Right = (typeof rights)[number];
export type Rights = ReadonlySet<Right>;

export const rightsSchema = z.array(z.enum(rights)).min(1).max(rights.length);

/** Throws `invalid_argument`. Reads `read+write`, in any order. */
export function parseRights(text: string): Right[] {
  const parts = text.split("+");
  const unknown = parts.find((part) => !rights.includes(part as Right));
  if (unknown !== undefined) {
    throw new CollectiveError("invalid_argument", `"${unknown}" is not a right`, {
      hint: `rights are ${rights.join(", ")}, joined with +`,
    });
  }
  return rights.filter((right) => parts.includes(right));
}

export function formatRights(granted: Iterable<Right>): string {
  const held = new Set(granted);
  return rights.filter((right) => held.has(right)).join("+");
}

/** A person, or with `*` in place of the name or of leading labels of the site, many: `*@garage.collective.local`, `*@*.collective.local`. */
export type SubjectPattern = string & { readonly __brand: "SubjectPattern" };

const wildcardSite = /^\*\.(.+)$/;

/** Throws `invalid_argument`. */
export function parseSubjectPattern(text: string): SubjectPattern {
  const at = text.indexOf("@");
  const name = at < 0 ? text : text.slice(0, at);
  const site = at < 0 ? `${text}.collective.local` : text.slice(at + 1);
  if (name !== "*") parseLocalName(name);
  const above = wildcardSite.exec(site)?.[1];
  if (name === "*" && at < 0)
    throw new CollectiveError("invalid_argument", "* alone would be everybody", { hint: "name a site: *@*.collective.local" });
  parseSite(above ?? site);
  return `${name}@${site}` as SubjectPattern;
}

/** `*.collective.local` means any site below it, however deep, and not the domain itself. */
export function matchesSubject(pattern: SubjectPattern, person: GlobalName): boolean {
  const [patternName, patternSite = ""] = pattern.split("@");
  const [name, site = ""] = person.split("@");
  if (patternName !== "*" && patternName !== name) return false;
  return patternSite.startsWith("*.") ? site.endsWith(patternSite.slice(1)) : site === patternSite;
}
