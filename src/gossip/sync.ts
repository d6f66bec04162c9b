/**
 * Anti-entropy: two members compare the fingerprints of all they hold, then of the parts that differ,
 * then list small parts entry by entry and send what the other lacks. Equal members exchange two
 * fingerprints, whatever their number.
 *
 * The answering side keeps nothing between two messages. A message is bounded in ranges, entries and
 * bytes; what did not fit is left for the next turn, and a session has a limit of turns.
 */
import { headsPerMessageMax, rangesPerMessageMax } from "../../protocol/gossip.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import { send } from "./exchanges.ts";
import type { News, SyncContent, SyncMessage } from "./messages.ts";
import { accusationsOf } from "./opinions.ts";
import type { Session, Turn } from "./state.ts";
import { type Alive, type GossipRecord, headOf, isLater } from "./statements.ts";
import { type Digest, entriesOf, entryAt, lookUp, partAt, partEntriesMax, pathDigitsMax, sameDigest, type Trie } from "./trie.ts";

type Space = "members" | "records";
type Held = Alive | GossipRecord;
type Head = SyncMessage["listings"][number]["heads"][number];

const pageBytesMax = 64 * 1024;
const listedBytesMax = 64 * 1024;
/** Of an entry in a listing beside its key. */
const headBytes = 24;
const pageStatementsMax = 384;
export const syncTurnsMax = 64;
/** A turn that got no answer is tried again, for all that the session has come to would be found anew. */
const failuresPerTurnMax = 3;
/** Dead members whose accusations a session begins with. */
const grievancesMax = 4;

export function startSync(turn: Turn, to: GlobalName): void {
  sendSync(turn, to, 0, rootContent(turn), grievances(turn));
}

/**
 * What is held against some of our dead. Where they are dead too it is old; where they are not, they are
 * suspected and refute, and so nobody stays dead for us alone.
 */
function grievances(turn: Turn): News[] {
  const { dead } = turn.state;
  if (dead.count === 0) return [];
  const from = turn.random.int(dead.count);
  const some = Array.from({ length: Math.min(dead.count, grievancesMax) }, (_, index) => entryAt(dead, (from + index) % dead.count));
  return some.flatMap((suspicion) => suspicion?.accusations ?? []);
}

/** After an answer: goes on where the two still differ. `learnt` is how many of its statements were news. */
export function continueSync(turn: Turn, session: Session, answer: SyncMessage, learnt: number): void {
  const { to, turn: turnNumber } = session;
  if (turnNumber + 1 >= syncTurnsMax) return;
  const next = compareWith(turn, answer);
  const isEmpty = next.ranges.length + next.listings.length + next.wants.length + next.statements.length === 0;
  if (!isEmpty) sendSync(turn, to, turnNumber + 1, next);
  else if (answer.more && learnt > 0) sendSync(turn, to, turnNumber + 1, rootContent(turn));
}

/** What we have to say to a comparison: parts that differ, entries that the other lacks, entries that we lack. */
export function compareWith(turn: Turn, theirs: SyncMessage): SyncContent {
  const page = newPage(turn);
  for (const { space, path, digest } of theirs.ranges) {
    const ours = partOf(turn, space, path);
    if (!sameDigest(ours.digest, { high: digest[0], low: digest[1] })) page.describe(space, path, ours);
  }
  for (const listing of theirs.listings) page.answerListing(listing.space, listing.path, listing.heads);
  for (const { space, key } of theirs.wants) page.add(space, key);
  return page.content();
}

function rootContent(turn: Turn): SyncContent {
  const root = (space: Space) => ({ space, path: "", digest: pairOf(partOf(turn, space, "").digest) });
  return { ranges: [root("members"), root("records")], listings: [], wants: [], statements: [], more: false };
}

/** False when this turn failed too often, or was the first: whoever has not answered yet is perhaps not there. */
export function retrySync(turn: Turn, session: Session): boolean {
  const failures = session.failures + 1;
  if (session.turn === 0 || failures >= failuresPerTurnMax) return false;
  sendTurn(turn, { ...session, failures });
  return true;
}

function sendSync(turn: Turn, to: GlobalName, turnNumber: number, content: SyncContent, first: readonly News[] = []): void {
  sendTurn(turn, { kind: "sync", to, turn: turnNumber, content, failures: 0 }, first);
}

function sendTurn(turn: Turn, session: Session, first: readonly News[] = []): void {
  send(turn, session, { kind: "sync", ...session.content }, turn.state.profile.exchangeTimeoutMs, first);
}

interface Page {
  describe(space: Space, path: string, ours: Trie<Held>): void;
  answerListing(space: Space, path: string, theirs: readonly Head[]): void;
  add(space: Space, key: string): void;
  content(): SyncContent;
}

function newPage(turn: Turn): Page {
  const ranges: SyncContent["ranges"][number][] = [];
  const listings: SyncContent["listings"][number][] = [];
  const wants: SyncContent["wants"][number][] = [];
  const statements: News[] = [];
  let bytes = 0;
  let listedBytes = 0;
  let more = false;
  const add = (space: Space, key: string): void => {
    const found = space === "members" ? fromMembers(turn, key) : fromRecords(turn, key);
    const foundBytes = found.reduce((sum, statement) => sum + statement.sealed.length, 0);
    if (bytes + foundBytes > pageBytesMax || statements.length + found.length > pageStatementsMax) {
      more = true;
      return;
    }
    bytes += foundBytes;
    statements.push(...found);
  };
  return {
    add,
    describe: (space, path, ours) => {
      if (ours.count <= partEntriesMax || path.length >= pathDigitsMax) {
        const heads = [...headsOf(ours)];
        const sizeBytes = heads.reduce((sum, [key]) => sum + key.length + headBytes, 0);
        if (listings.length < rangesPerMessageMax && heads.length <= headsPerMessageMax && listedBytes + sizeBytes <= listedBytesMax) {
          listedBytes += sizeBytes;
          listings.push({ space, path, heads });
        } else more = true;
      } else if (ranges.length + 16 <= rangesPerMessageMax) {
        for (const digit of "0123456789abcdef") {
          const part = path + digit;
          ranges.push({ space, path: part, digest: pairOf(partOf(turn, space, part).digest) });
        }
      } else more = true;
    },
    answerListing: (space, path, theirs) => {
      const missing = new Map(theirs.map((head) => [head[0], head]));
      for (const [key, counter, high, low] of headsOf(partOf(turn, space, path))) {
        const their = missing.get(key);
        missing.delete(key);
        const ours = { counter, digest: { high, low } };
        if (!their || isLater(ours, toHead(their))) add(space, key);
        else if (isLater(toHead(their), ours)) missing.set(key, their);
      }
      for (const key of missing.keys()) {
        if (wants.length < headsPerMessageMax && listedBytes + key.length <= listedBytesMax) {
          listedBytes += key.length + headBytes;
          wants.push({ space, key });
        } else more = true;
      }
    },
    content: () => ({ ranges, listings, wants, statements, more }),
  };
}

/** With what is held against it: who learns of a dead member here can come to the same conclusion. */
function fromMembers({ state }: Turn, key: string): News[] {
  const statement = lookUp(state.members, key);
  return statement ? [statement, ...accusationsOf(state, statement.member)] : [];
}

function fromRecords({ state }: Turn, key: string): News[] {
  const record = lookUp(state.records, key);
  return record ? [record] : [];
}

function partOf(turn: Turn, space: Space, path: string): Trie<Held> {
  return partAt<Held>(space === "members" ? turn.state.members : turn.state.records, path);
}

function* headsOf(part: Trie<Held>): Generator<Head> {
  for (const statement of entriesOf(part)) {
    const { counter, digest } = headOf(statement);
    yield [statement.key, counter, digest.high, digest.low];
  }
}

function toHead([, counter, high, low]: Head): { readonly counter: number; readonly digest: Digest } {
  return { counter, digest: { high, low } };
}

function pairOf({ high, low }: Digest): [number, number] {
  return [high, low];
}
