/**
 * Colours by meaning. Off unless the output is a terminal that can show them and nobody objects; a
 * `Colours` that is off returns every text unchanged, so callers never ask.
 */

export type Paint = (text: string) => string;

export interface Colours {
  readonly enabled: boolean;
  readonly good: Paint;
  readonly warn: Paint;
  readonly bad: Paint;
  readonly dim: Paint;
  readonly bold: Paint;
  readonly accent: Paint;
}

export interface ColourQuestion {
  readonly isTerminal: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** `--no-color`. */
  readonly noColour?: boolean | undefined;
}

/** `NO_COLOR` counts when it is not empty, see no-color.org. */
export function wantsColour(question: ColourQuestion): boolean {
  return question.isTerminal && question.noColour !== true && !question.environment.NO_COLOR && question.environment.TERM !== "dumb";
}

export function createColours(enabled: boolean): Colours {
  const sgr = (open: number, close: number): Paint => {
    if (!enabled) return (text) => text;
    return (text) => (text === "" ? "" : `\x1b[${open}m${text}\x1b[${close}m`);
  };
  return { enabled, good: sgr(32, 39), warn: sgr(33, 39), bad: sgr(31, 39), dim: sgr(2, 22), bold: sgr(1, 22), accent: sgr(36, 39) };
}

export const noColours: Colours = createColours(false);
