/**
 * How mount(8) calls a file system's own program: `PROGRAM SOURCE DIRECTORY [-o OPTION,OPTION…]`, with the type `fuse.collective` in
 * /etc/fstab. Either mount.fuse3(8) of the package fuse3 finds `collective` on the path, or /sbin/mount.fuse.collective is a link to it.
 */
import { CollectiveError } from "../../../protocol/errors.ts";
import { quoteInput } from "../../core/units.ts";

export interface FstabCall {
  /** Of `collective`. */
  readonly argv: readonly string[];
  /** COLLECTIVE_HOME, where an option says so: at boot there is no HOME. */
  readonly home: string | undefined;
}

/** Options with a value, and the flags that they stand for. */
const valued: Readonly<Record<string, string>> = {
  cache_size: "--cache-size",
  context: "--context",
  log_level: "--log-level",
  metrics_address: "--metrics-address",
  time_limit: "--time-limit",
};
const switches: Readonly<Record<string, string>> = { ro: "--read-only", allow_other: "--allow-other" };
/** For mount(8), the system's start, or already so: nothing here is a device or keeps times of access by itself. */
const ignored = new Set(
  "defaults auto noauto user nouser users owner group nofail _netdev rw dev nodev suid nosuid exec async atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime lazytime nolazytime".split(
    " ",
  ),
);

/** Undefined when it is an ordinary command: none begins with a slash. Throws `invalid_argument` for an option that nobody knows. */
export function fstabCall(argv: readonly string[]): FstabCall | undefined {
  const [source, directory, ...rest] = argv;
  if (!source?.startsWith("/") || !directory?.startsWith("/")) return undefined;
  const options = optionsOf(rest);
  const flags: string[] = [];
  let home: string | undefined;
  for (const option of options) {
    const at = option.indexOf("=");
    const [name, value] = at < 0 ? [option, undefined] : [option.slice(0, at), option.slice(at + 1)];
    const flag = valued[name];
    if (flag !== undefined && value !== undefined) flags.push(flag, value);
    else if (name === "home" && value !== undefined) home = value;
    else if (switches[option] !== undefined) flags.push(switches[option]);
    else if (!ignored.has(option) && !name.startsWith("x-") && name !== "comment") throw unknownOption(option);
  }
  return { argv: ["mount", "--remote", source, ...flags, "--", directory], home };
}

/** Of every `-o`; `-s`, `-v` and the like, and `-t TYPE`, change nothing. */
function optionsOf(rest: readonly string[]): string[] {
  return rest.flatMap((word, index) => (rest[index - 1] === "-o" ? word.split(",").filter(Boolean) : []));
}

function unknownOption(option: string): CollectiveError {
  const known = ["ro", "allow_other", "home=DIR", ...Object.keys(valued).map((name) => `${name}=…`)].join(", ");
  return new CollectiveError("invalid_argument", `there is no option ${quoteInput(option)} for a collective`, {
    hint: `there are ${known}`,
  });
}
