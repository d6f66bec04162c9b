/**
 * What the processes of the tests are told and say, all of them at debug level, is searched for every
 * secret of a home when that home ends; so the whole suite shows that none leaks, and the test that made
 * one leak is the one that fails.
 *
 * A home's secrets are looked for in all that was said during its life: what one member's process prints
 * may be another's secret.
 */
import { existsSync } from "node:fs";
import { inviteCode, leaksIn, secretsBelow } from "./secrets.ts";

/** Everything one process was told by its arguments and has said. */
export interface Transcript {
  readonly args: readonly string[];
  stdout(): string;
  stderr(): string;
}

/** For the environment of every process: the loudest there is. */
export const loudest = { COLLECTIVE_LOG_LEVEL: "debug" } as const;

/** What a person sees of it: commands say less than servers unless they are asked for more. */
export function asUsual([command = ""]: readonly string[], stderr: string): string {
  return servers.has(command) ? stderr : stderr.replace(/^[-\d]+T[:.\d]+Z (debug|info) .*\n/gm, "");
}

const servers: ReadonlySet<string> = new Set(["serve", "coordinator", "node"]);

let transcripts: Transcript[] = [];
let homes = 0;
const searched = { secrets: 0, transcripts: 0 };

export function record(transcript: Transcript): void {
  if (homes > 0) transcripts.push(transcript);
}

/** What is said from now on belongs to the home at `path`. `search` throws when a secret of it was said; no process may run in it any more. */
export function watchHome(path: string): { search(): void } {
  homes++;
  const from = transcripts.length;
  const search = (): void => {
    homes--;
    const said = transcripts.slice(from);
    if (homes === 0) transcripts = [];
    if (!existsSync(path)) return;
    const secrets = [...secretsBelow(path), ...said.flatMap(codesPrintedBy)];
    searched.secrets += secrets.length;
    searched.transcripts += said.length;
    const leaks = leaksIn(said, secrets);
    if (leaks.length > 0) throw new Error(`secrets were shown:\n${[...new Set(leaks)].join("\n")}`);
  };
  return { search };
}

/** How much was looked for and through since the tests began. */
export function searchedSoFar(): Readonly<typeof searched> {
  return searched;
}

function codesPrintedBy({ args, stdout }: Transcript) {
  if (!args.includes("generate")) return [];
  return (stdout().match(/[0-9A-Z]{5}(-[0-9A-Z]{1,5}){8,}/g) ?? []).map((code) => inviteCode("an invite code", code));
}
