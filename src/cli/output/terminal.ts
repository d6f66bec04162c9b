/** What an output stream can show, asked once for a command and passed to everything that formats. */
import { type Colours, createColours, wantsColour } from "./colour.ts";

/** As much of a `NodeJS.WriteStream` as output needs. */
export interface OutputStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

export interface Terminal {
  readonly isTerminal: boolean;
  /** Undefined when it is no terminal: nothing is cut then. */
  readonly columns: number | undefined;
  /** Whether bars and ellipses may leave ASCII. */
  readonly unicode: boolean;
  /** Whether a line can be wiped and drawn again, as progress does. */
  readonly redraws: boolean;
  readonly colours: Colours;
}

export interface TerminalOptions {
  readonly stream: OutputStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly noColour?: boolean | undefined;
}

export function describeTerminal({ stream, environment, noColour }: TerminalOptions): Terminal {
  const isTerminal = stream.isTTY === true;
  return {
    isTerminal,
    columns: isTerminal ? stream.columns || 80 : undefined,
    unicode: showsUnicode(environment),
    redraws: isTerminal && environment.TERM !== "dumb",
    colours: createColours(wantsColour({ isTerminal, environment, noColour })),
  };
}

/** Everything shows UTF-8 today unless its locale says otherwise; a dumb terminal says enough. */
export function showsUnicode(environment: Readonly<Record<string, string | undefined>>): boolean {
  if (environment.TERM === "dumb") return false;
  const locale = environment.LC_ALL || environment.LC_CTYPE || environment.LANG;
  return locale === undefined || locale === "" || /utf-?8/i.test(locale);
}
