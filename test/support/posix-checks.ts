/**
 * What POSIX and Linux promise of a file system, as functions on any directory of one. Each answers what it saw; that is right when it is
 * what the same function sees on a file system of the kernel, run as control. They need root, to act as others and to make devices.
 */
import { attributesChecks, contentChecks, locksChecks } from "./posix-checks-content.ts";
import { namesChecks } from "./posix-checks-names.ts";
import { ownersChecks, timesChecks } from "./posix-checks-owners.ts";
import { matrixChecks } from "./posix-matrix.ts";
import type { PosixChecks } from "./posix-probe.ts";

/** With each `nth` of the matrix's cells. */
export function posixChecks(nth: number): PosixChecks {
  return {
    ...namesChecks,
    ...ownersChecks,
    ...timesChecks,
    ...contentChecks,
    ...attributesChecks,
    ...locksChecks,
    ...matrixChecks(nth),
  };
}
