/**
 * Changes that are made once, however often they are asked for: the answer is written down in the
 * transaction that makes the change, so a crash leaves both or neither.
 */
import { z } from "zod";
import { decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import { CollectiveError } from "../../protocol/errors.ts";
import { requestRememberedMs } from "../../protocol/limits.ts";
import type { CollectiveDatabase } from "../db/database.ts";
import { type MetadataContext, statement } from "./context.ts";
import type { ChangeRequest } from "./store.ts";

/** Forgotten with each new one, so that what is remembered does not grow for ever, and no write takes long. */
const forgottenPerRequestMax = 8;

const recordSchema = z.object({ answer: z.unknown().optional() });

/** The same, except that its first write is made once. There must be no second: it would be answered as the first. */
export function rememberingContext(context: MetadataContext, request: ChangeRequest): MetadataContext {
  const { db } = context;
  let written = false;
  const once =
    (submit: CollectiveDatabase["write"]): CollectiveDatabase["write"] =>
    (fn, weightBytes) => {
      if (written) throw new CollectiveError("internal", "a request makes one change");
      written = true;
      return submit(() => answerOnce(context, request, fn), weightBytes);
    };
  return { ...context, db: { ...db, write: once(db.write), writeRelaxed: once(db.writeRelaxed) } };
}

function answerOnce<T>(context: MetadataContext, request: ChangeRequest, change: () => T): T {
  const { caller, slot, number } = request;
  const known = statement<{ number: number; answer: Uint8Array }, [string, string]>(
    context,
    "SELECT number, answer FROM request WHERE caller = ? AND slot = ?",
  ).get(caller, slot);
  if (known?.number === number) return decodeMessage(recordSchema, known.answer, "a remembered answer", "corrupt").answer as T;
  if (known && known.number > number) throw new CollectiveError("conflict", "the request was overtaken by a later one");
  const answer = change();
  const nowMs = Math.trunc(context.clock.wallMs());
  statement<never, [string, string, number, Uint8Array, number]>(
    context,
    `INSERT INTO request (caller, slot, number, answer, answered_ms) VALUES (?1, ?2, ?3, ?4, ?5)
     ON CONFLICT (caller, slot) DO UPDATE SET number = ?3, answer = ?4, answered_ms = ?5`,
  ).run(caller, slot, number, encodeMessage({ answer }), nowMs);
  statement<never, [number, number]>(
    context,
    "DELETE FROM request WHERE rowid IN (SELECT rowid FROM request WHERE answered_ms < +? ORDER BY answered_ms LIMIT +?)",
  ).run(nowMs - requestRememberedMs, forgottenPerRequestMax);
  return answer;
}
