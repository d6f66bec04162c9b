/** What a command may touch of the process it runs in. */
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { OutputStream, Terminal } from "./output/terminal.ts";

export interface Io {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** Of stdout, for results. */
  readonly out: Terminal;
  /** Of stderr, for progress and messages. */
  readonly err: Terminal;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Aborts on SIGINT and SIGTERM; a second signal ends the process at once. */
  readonly signal: AbortSignal;
  /** Named by `--context`; undefined is the current one. */
  readonly contextName: string | undefined;
}
