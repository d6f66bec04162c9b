/**
 * By what a coordinator knows a change that it is asked for again. When an answer is lost, its caller cannot
 * know whether the change was made; it asks again under the same id, and is answered what it would have been.
 *
 * A slot belongs to one client and carries one call at a time, numbered from 1: a call tells that nobody
 * waits for the answer of the one before it. So a coordinator remembers one answer for each slot.
 */
import { CollectiveError } from "./errors.ts";

export const requestIdHeader = "collective-request";
export const requestSlotBytes = 16;

export interface RequestId {
  readonly slot: string;
  readonly number: number;
}

const pattern = /^([A-Za-z0-9_-]{22})\.([1-9][0-9]{0,14})$/;

export function requestSlot(random: Uint8Array): string {
  return Buffer.from(random).toString("base64url");
}

export function formatRequestId({ slot, number }: RequestId): string {
  return `${slot}.${number}`;
}

export function parseRequestId(text: string | undefined): RequestId {
  const [, slot, number] = pattern.exec(text ?? "") ?? [];
  if (slot === undefined) {
    throw new CollectiveError("invalid_argument", `a change is asked for with its id in the header ${requestIdHeader}`, {
      hint: "update the older program",
    });
  }
  return { slot, number: Number(number) };
}
