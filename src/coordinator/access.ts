/**
 * Who may do what: the one place where a caller's rights are looked up, and where a refusal gets its words.
 *
 * Invariant: what a caller may not see is refused exactly as if it did not exist, and what it may see without the right
 * to it by naming that right. Inode numbers can be guessed, so each that comes in a request goes through here.
 *
 * A right is checked before the change is queued, not inside its transaction. That is enough, because a change
 * names what it changes by the very inodes that were checked, and changes run in the order they were queued: a rename or a
 * revocation that slips in between had not been answered when the check was made, so the two were under way together and may count
 * in either order. Checks and the reads that follow them run in one turn of the event loop, in which nothing is
 * committed. A ticket is dated by the check (`Permission`), so that a withdrawal in between reaches it.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Inode, rootInode, siteOf } from "../../protocol/ids.ts";
import { formatRights, matchesSubject, type Right } from "../../protocol/rights.ts";
import type { Clock } from "../core/clock.ts";
import type { MetadataStore } from "../meta/store.ts";
import type { Caller } from "../net/control-app.ts";
import { allRights, eitherOf, type HeldRights, hasEnded, heldRights } from "./held-rights.ts";
import { createVisibleWays, type VisibleWays } from "./visible-ways.ts";

/** That something was allowed: when that was looked up, and until when it holds; `Infinity` for ever. */
export interface Permission {
  readonly checkedMs: number;
  readonly untilMs: number;
}

/** What one caller may do, for the length of one request. */
export interface Clearance {
  readonly person: GlobalName;
  readonly isAdministrator: boolean;
  /** Throws `not_found` or `permission_denied` unless the caller has the right there. */
  need(right: Right, inode: Inode): Promise<Permission>;
  /** One of these rights on anything in the store; in any store when it is undefined. */
  needSomewhere(anyOf: readonly Right[], store: Inode | undefined): Promise<Permission>;
  /** Throws `not_found` for what the caller may not even see. */
  needVisible(inode: Inode): Promise<void>;
  rightsOn(inode: Inode): Promise<HeldRights>;
  /** Nobody's but the administrator's own rights do without. */
  ways(): Promise<VisibleWays>;
}

export interface Access {
  /** Throws `permission_denied` for anything but a person. */
  of(caller: Caller): Clearance;
}

export interface AccessOptions {
  readonly metadata: MetadataStore;
  /** Its person is the administrator. */
  readonly member: GlobalName;
  readonly clock: Pick<Clock, "wallMs">;
}

export function createAccess(options: AccessOptions): Access {
  const { member, clock } = options;
  return {
    of: (caller) => {
      if (caller.kind !== "user")
        throw new CollectiveError("permission_denied", `a ${caller.kind} may not use files; ${caller.name} is one`);
      return caller.name === member ? unlimited(member, () => Math.trunc(clock.wallMs())) : limited(caller.name, options);
    },
  };
}

export function requireAdministrator(caller: Caller, member: GlobalName): void {
  if (caller.kind === "user" && caller.name === member) return;
  throw new CollectiveError("permission_denied", `only ${member} may do this, not the ${caller.kind} ${caller.name}`);
}

export function requirePersonOfSite(caller: Caller, member: GlobalName): void {
  const site = siteOf(member);
  if (caller.kind === "user" && siteOf(caller.name) === site) return;
  throw new CollectiveError("permission_denied", `only people of ${site} may ask this, not the ${caller.kind} ${caller.name}`);
}

export function earliest(permissions: readonly Permission[]): Permission {
  return {
    checkedMs: Math.min(...permissions.map(({ checkedMs }) => checkedMs)),
    untilMs: Math.min(...permissions.map(({ untilMs }) => untilMs)),
  };
}

/** Asks nothing of the database. */
function unlimited(person: GlobalName, nowMs: () => number): Clearance {
  const permission = async (): Promise<Permission> => ({ checkedMs: nowMs(), untilMs: Number.POSITIVE_INFINITY });
  return {
    person,
    isAdministrator: true,
    need: permission,
    needSomewhere: permission,
    needVisible: async () => undefined,
    rightsOn: async () => allRights,
    ways: async () => createVisibleWays([]),
  };
}

function limited(person: GlobalName, { metadata, member, clock }: AccessOptions): Clearance {
  const nowMs = (): number => Math.trunc(clock.wallMs());
  const rightsIn = async (directory: Inode): Promise<HeldRights> =>
    heldRights({ person, administrator: member, grants: await metadata.grantsAbove(directory, person), nowMs: nowMs() });
  /** A file with several names is open to whoever may open it by one of them; who may make such names is said in linking.ts. */
  const rightsOn = async (inode: Inode): Promise<HeldRights> => {
    const directories = new Set((await metadata.placesOf(inode)).map(({ directory }) => directory));
    return eitherOf(await Promise.all([...directories].map(rightsIn)));
  };
  /** By a name that the person may see. */
  const shownPath = async (inode: Inode): Promise<string | undefined> => {
    for (const { directory, name } of await metadata.placesOf(inode)) {
      if (name === undefined) return await metadata.pathOf(directory);
      if ((await rightsIn(directory)).has("read")) return `${await metadata.pathOf(directory)}/${name}`;
    }
    return undefined;
  };
  const ways = async (): Promise<VisibleWays> => {
    const directories = (await metadata.directoriesGrantedTo(person)).map(async (way) => ({
      way,
      held: await rightsOn(way.at(-1)?.attr.inode ?? rootInode),
    }));
    return createVisibleWays(await Promise.all(directories));
  };
  const isVisible = async (inode: Inode, held: HeldRights): Promise<boolean> => held.has("read") || (await ways()).has(inode);

  const need: Clearance["need"] = async (right, inode) => {
    const checkedMs = nowMs();
    const held = await rightsOn(inode);
    const untilMs = held.get(right);
    if (untilMs !== undefined) return { checkedMs, untilMs };
    const path = (await isVisible(inode, held)) ? await shownPath(inode) : undefined;
    if (path !== undefined) throw denied({ person, member, right, path });
    throw (await endedOn(inode, right)) ?? new CollectiveError("not_found", "the file or directory no longer exists");
  };
  /** Whoever was in the middle of something when its grant ended learns why it goes no further, and nothing of what is there now. */
  const endedOn = async (inode: Inode, right: Right): Promise<CollectiveError | undefined> => {
    const places = await metadata.placesOf(inode);
    const grants = await Promise.all(places.map(({ directory }) => metadata.grantsAbove(directory, person)));
    const ended = grants
      .flat()
      .find((grant) => grant.rights.includes(right) && matchesSubject(grant.subject, person) && hasEnded(grant, nowMs()));
    if (ended?.expiresMs == null) return undefined;
    return new CollectiveError("permission_denied", `what ${person} was granted ended on ${new Date(ended.expiresMs).toISOString()}`, {
      hint: `${member} may grant it again`,
    });
  };

  const needSomewhere: Clearance["needSomewhere"] = async (anyOf, store) => {
    const checkedMs = nowMs();
    const visible = await ways();
    const untilMs = Math.max(...anyOf.map((right) => visible.rightsIn(store).get(right) ?? 0));
    if (untilMs > checkedMs) return { checkedMs, untilMs };
    const what = anyOf.join(" or ");
    if (store === undefined) throw new CollectiveError("permission_denied", `${person} has not been granted ${what} on anything`);
    const path = visible.entriesIn(rootInode).some(({ attr }) => attr.inode === store) ? await metadata.pathOf(store) : undefined;
    if (path !== undefined) throw new CollectiveError("permission_denied", `${person} has not been granted ${what} on anything in ${path}`);
    throw (await endedIn(store, anyOf)) ?? new CollectiveError("not_found", "the datastore no longer exists");
  };
  const endedIn = async (store: Inode, anyOf: readonly Right[]): Promise<CollectiveError | undefined> => {
    for (const way of await metadata.directoriesGrantedTo(person)) {
      const directory = way.at(-1)?.attr.inode;
      if (way[0]?.attr.inode !== store || directory === undefined) continue;
      for (const right of anyOf) {
        const ended = await endedOn(directory, right);
        if (ended) return ended;
      }
    }
    return undefined;
  };
  return {
    person,
    isAdministrator: false,
    need,
    needSomewhere,
    needVisible: async (inode) => {
      if (!(await isVisible(inode, await rightsOn(inode)))) await need("read", inode);
    },
    rightsOn,
    ways,
  };
}

interface Refusal {
  readonly person: GlobalName;
  readonly member: GlobalName;
  readonly right: Right;
  readonly path: string;
}

function denied({ person, member, right, path }: Refusal): CollectiveError {
  if (path === "/") return new CollectiveError("permission_denied", `only ${member} may ${rootVerbs[right]} the root`);
  return new CollectiveError("permission_denied", `${person} has not been granted ${formatRights([right])} on ${path}`, {
    hint: `${member} can grant it: collective access grant ${path} ${person} --rights ${formatRights([right])}`,
    details: { right, path },
  });
}

const rootVerbs = {
  read: "read all that is in",
  write: "make or change datastores in",
  delete: "remove datastores from",
  share: "share",
} as const satisfies Record<Right, string>;
