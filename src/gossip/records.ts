/**
 * What members say about themselves beside being there: one record for each topic, the latest counts.
 * The order is a Lamport clock: whoever has seen a record writes later ones, without any calendar.
 */
import type { Topic } from "../../protocol/gossip.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import { chargeNews, isSelf } from "./membership.ts";
import { dropNewsOf, spread } from "./news.ts";
import { isNews } from "./relevance.ts";
import { clockJumpMax, introductionsPerMemberMax, type Turn } from "./state.ts";
import { type GossipRecord, recordKey } from "./statements.ts";
import { entriesOf, lookUp, partAt, pathOf, withEntry, withoutKey } from "./trie.ts";

/** Says something about ourselves; the same again changes nothing. */
export function publish(turn: Turn, topic: Topic, item: string, body: Uint8Array): void {
  const member = turn.state.self.member;
  const held = lookUp(turn.state.records, recordKey({ member, topic, item }));
  if (held && Buffer.compare(held.body, body) === 0) return;
  turn.state.clock += 1;
  const record = turn.seal({ kind: "record", member, topic, item, clock: turn.state.clock, body });
  keep(turn, record);
  spread(turn, record);
}

/** Whether it was news. */
export function acceptRecord(turn: Turn, record: GossipRecord, passOn: boolean): boolean {
  if (!isNews(turn.state, record)) return false;
  const held = lookUp(turn.state.records, record.key);
  if (isSelf(turn, record.member)) return acceptOwn(turn, record, held);
  const author = lookUp(turn.state.members, record.member);
  if (!author) return false;
  const isIntroduction = record.topic === "introduction";
  if (isIntroduction !== (record.item !== "") || record.item === record.member) return false;
  if (isIntroduction && !held && introductionsBy(turn, record.member) >= introductionsPerMemberMax) return false;
  if (!chargeNews(turn, author, record)) return false;
  turn.state.clock = Math.max(turn.state.clock, Math.min(record.clock, turn.state.clock + clockJumpMax));
  keep(turn, record);
  turn.actions.push({ kind: "recordChanged", record });
  if (passOn) spread(turn, record);
  return true;
}

/** What we said in an earlier life. It stands until we say something else, and then we say it with a later clock. */
function acceptOwn(turn: Turn, record: GossipRecord, held: GossipRecord | undefined): boolean {
  turn.state.clock = Math.max(turn.state.clock, record.clock);
  keep(turn, record);
  if (held) publish(turn, held.topic, held.item, held.body);
  return true;
}

export function forgetRecordsOf(turn: Turn, member: GlobalName): void {
  for (const { key } of recordsOf(turn, member)) turn.state.records = withoutKey(turn.state.records, key);
  dropNewsOf(turn, member);
}

/** Withdrawn ones, too: they are kept. */
function introductionsBy(turn: Turn, member: GlobalName): number {
  return recordsOf(turn, member).filter(({ topic }) => topic === "introduction").length;
}

function recordsOf(turn: Turn, member: GlobalName): GossipRecord[] {
  return [...entriesOf(partAt(turn.state.records, pathOf(member)))].filter((record) => record.member === member);
}

function keep(turn: Turn, record: GossipRecord): void {
  turn.state.records = withEntry(turn.state.records, record);
}
