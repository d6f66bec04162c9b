/**
 * Which build this is. The version has one source, package.json; the build script adds the commit.
 *
 * Both must hold in the executable, which has neither package.json nor git beside it, and when the
 * program runs from source, where nothing was defined.
 */
import { version as manifestVersion } from "../../package.json";

/** Set by scripts/build.ts; not declared at all when run from source. */
declare const COLLECTIVE_COMMIT: string | undefined;

/** `X.Y.Z`, as in package.json. */
export const version: string = manifestVersion;

/** Short hash of the commit that was built, with `-dirty` for a changed tree; empty when unknown or run from source. */
export const commit: string = typeof COLLECTIVE_COMMIT === "string" ? COLLECTIVE_COMMIT : "";
