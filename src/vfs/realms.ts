/** The members whose files this mount shows: the own one, and others as they are asked for. */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Inode, parseGlobalName, siteOf } from "../../protocol/ids.ts";
import { routes } from "../../protocol/routes.ts";
import type { Attr } from "../../protocol/schema.ts";
import type { Remote } from "../client/remote.ts";
import { createClientSession, type News } from "../client/session.ts";
import { type Realm, realmInodesMax } from "./nodes.ts";

/** Where other members are found. */
export interface OtherMembers {
  readonly own: GlobalName;
  remoteOf(member: GlobalName, signal?: AbortSignal): Promise<Remote>;
}

export interface Realms {
  readonly own: Realm;
  stop(): Promise<void>;
  /** Of a name in the root like `@bob@garage.collective.local`; undefined when it is none, or nobody's that is known. */
  named(name: string, signal?: AbortSignal): Promise<Realm | undefined>;
}

export interface RealmsOptions {
  readonly remote: Remote;
  readonly prefix: readonly string[];
  /** Undefined where none are shown: in a directory of another member's. */
  readonly others: OtherMembers | undefined;
  /** What others have changed in one. */
  readonly onNews: (realm: Realm, news: News | "everything") => Promise<void>;
}

export function createRealms({ remote, prefix, others, onNews }: RealmsOptions): Realms {
  const realmOf = (place: Omit<Realm, "session">): Realm => {
    const realm: Realm = { ...place, session: createClientSession({ remote: place.remote, onNews: (news) => onNews(realm, news) }) };
    return realm;
  };
  const own = realmOf({ remote, base: 0, prefix });
  const realms = new Map<GlobalName, Realm>();
  return {
    own,
    stop: async () => void (await Promise.all([own, ...realms.values()].map(({ session }) => session.stop()))),
    named: async (name, signal) => {
      const member = memberOf(name);
      if (!others || member === undefined || siteOf(member) === siteOf(others.own)) return undefined;
      try {
        const there = await others.remoteOf(member, signal);
        const realm = realms.get(member) ?? realmOf({ remote: there, base: (realms.size + 1) * realmInodesMax, prefix: [] });
        realms.set(member, realm);
        return realm;
      } catch (error) {
        if (error instanceof CollectiveError && error.code === "not_found") return undefined;
        throw error;
      }
    },
  };
}

/** In full only: two names for the same directory would be two directories. */
function memberOf(name: string): GlobalName | undefined {
  if (!name.startsWith("@")) return undefined;
  try {
    const member = parseGlobalName(name.slice(1));
    return name === `@${member}` ? member : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined when it does not exist any more. */
export async function currentAttr({ remote }: Realm, inode: Inode): Promise<Attr | undefined> {
  try {
    return await remote.control.call(routes.getAttr, { inode });
  } catch (thrown) {
    if (toCollectiveError(thrown).code === "not_found") return undefined;
    throw thrown;
  }
}
