/** Paths as people type them: `/store/dir/file`, or `/@member@site/store/…` at another member. */
import { CollectiveError } from "./errors.ts";
import { type GlobalName, parseGlobalName } from "./ids.ts";
import { nameBytesMax, pathBytesMax, pathComponentsMax } from "./limits.ts";

export interface RemotePath {
  /** Whose namespace; undefined is the caller's own member. */
  readonly member: GlobalName | undefined;
  /** Datastore first; empty is the root. */
  readonly components: readonly string[];
}

const encoder = new TextEncoder();

/** A single path component. Throws `name_too_long` or `invalid_argument`. */
export function parseName(name: string): string {
  if (name === "" || name === "." || name === "..") throw new CollectiveError("invalid_argument", `"${name}" cannot be the name of a file`);
  if (/[/\0]/.test(name)) throw new CollectiveError("invalid_argument", "a name cannot contain / or NUL");
  if (!name.isWellFormed()) throw new CollectiveError("invalid_argument", "a name must be valid UTF-8");
  const bytes = encoder.encode(name).length;
  if (bytes > nameBytesMax) {
    throw new CollectiveError("name_too_long", `the name "${name.slice(0, 24)}…" has ${bytes} bytes, at most ${nameBytesMax} are possible`);
  }
  return name;
}

/** Resolves `.` and `..`, collapses `//`; a `..` above the root is an error. */
export function parsePath(text: string): RemotePath {
  if (!text.startsWith("/")) {
    throw new CollectiveError("invalid_argument", `"${text}" is not an absolute path`, {
      hint: "paths in the collective start with /, like /media/film.mkv",
    });
  }
  if (encoder.encode(text).length > pathBytesMax)
    throw new CollectiveError("name_too_long", `the path is longer than ${pathBytesMax} bytes`);
  const components: string[] = [];
  let member: GlobalName | undefined;
  for (const [index, part] of text.split("/").entries()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      if (components.pop() === undefined) throw new CollectiveError("invalid_argument", `"${text}" leads above the root`);
    } else if (index === 1 && part.startsWith("@")) {
      member = parseGlobalName(part.slice(1));
    } else {
      components.push(parseName(part));
    }
  }
  if (components.length > pathComponentsMax)
    throw new CollectiveError("name_too_long", `the path is deeper than ${pathComponentsMax} directories`);
  return { member, components };
}

export function formatPath(path: RemotePath): string {
  return `/${[...(path.member ? [`@${path.member}`] : []), ...path.components].join("/")}`;
}
