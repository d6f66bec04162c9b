/** From a code of the closed list to this platform's errno, through the names in protocol/errors.ts. */
import { constants } from "node:os";
import { type ErrorCode, errnoNameOf, errorCodes } from "../../protocol/errors.ts";

/** Every name in the table is an errno of this platform, or the program does not compile. */
const numberOf = errnoNameOf satisfies Record<ErrorCode, keyof typeof constants.errno>;

const errnos = new Map<ErrorCode, number>(errorCodes.map((code) => [code, constants.errno[numberOf[code]]]));

export function errnoOf(code: ErrorCode): number {
  return errnos.get(code) ?? constants.errno.EIO;
}

const names = new Map<number, string>(Object.entries(constants.errno).map(([name, number]) => [number, name]));

export function errnoName(number: number): string {
  return names.get(number) ?? `errno ${number}`;
}
