/**
 * Splits TypeScript source into what runs, what is quoted and what is said about it, so that a rule
 * about calls is not fooled by a string, nor a rule about comments by code.
 *
 * Every view has the length of the source and its line breaks at the same places; what does not
 * belong to a view is blank in it.
 */
export interface SourceViews {
  /** Code with strings, templates and regular expressions emptied; `${…}` inside a template is code. */
  readonly code: string;
  readonly comments: string;
}

type Kind = "code" | "string" | "comment";

/** After one of these a slash opens a regular expression; after anything else it divides. */
const beforeExpression = /(?:[([{,;=:!&|?+\-*%~^<>]|\b(?:return|typeof|case|in|of|do|else|void|delete|throw|await|yield))\s*$/;
const lookBehindChars = 24;

export function viewsOf(source: string): SourceViews {
  const kinds = kindsOf(source);
  const view = (shown: Kind): string => {
    let text = "";
    for (let at = 0; at < source.length; at += 1) {
      const char = source.charAt(at);
      text += char === "\n" || kinds[at] === shown ? char : " ";
    }
    return text;
  };
  return { code: view("code"), comments: view("comment") };
}

/** The kind of each character. Delimiters of strings count as code. */
function kindsOf(source: string): Kind[] {
  const kinds: Kind[] = new Array<Kind>(source.length).fill("code");
  const mark = (from: number, to: number, kind: Kind): number => {
    kinds.fill(kind, from, Math.min(to, source.length));
    return to;
  };
  /** For each template that is open, how many braces its current `${` has open. */
  const braces: number[] = [];
  let at = source.startsWith("#!") ? mark(0, endOf(source, "\n", 0), "comment") : 0;

  while (at < source.length) {
    const char = source.charAt(at);
    const pair = source.slice(at, at + 2);
    if (pair === "//") at = mark(at, endOf(source, "\n", at), "comment");
    else if (pair === "/*") at = mark(at, endOf(source, "*/", at + 2) + 2, "comment");
    else if (char === '"' || char === "'") at = mark(at + 1, endOfQuoted(source, at, char), "string") + 1;
    else if (char === "/" && opensRegExp(source, at)) at = mark(at + 1, endOfRegExp(source, at), "string") + 1;
    else if (char === "`" || (char === "}" && braces.at(-1) === 0)) {
      if (char === "}") braces.pop();
      const end = endOfTemplateText(source, at);
      mark(at + 1, end, "string");
      if (source.charAt(end) === "$") braces.push(0);
      at = end + (source.charAt(end) === "$" ? 2 : 1);
    } else {
      const open = braces.length - 1;
      if (open >= 0 && (char === "{" || char === "}")) braces[open] = (braces[open] ?? 0) + (char === "{" ? 1 : -1);
      at += 1;
    }
  }
  return kinds;
}

function endOf(source: string, text: string, from: number): number {
  const found = source.indexOf(text, from);
  return found === -1 ? source.length : found;
}

function endOfQuoted(source: string, start: number, quote: string): number {
  let at = start + 1;
  while (at < source.length && source.charAt(at) !== quote && source.charAt(at) !== "\n") at += source.charAt(at) === "\\" ? 2 : 1;
  return at;
}

/** Where the text of a template stops: at its closing backtick or at the `$` of the next `${`. */
function endOfTemplateText(source: string, start: number): number {
  let at = start + 1;
  while (at < source.length && source.charAt(at) !== "`" && source.slice(at, at + 2) !== "${") at += source.charAt(at) === "\\" ? 2 : 1;
  return at;
}

function opensRegExp(source: string, at: number): boolean {
  const before = source.slice(Math.max(0, at - lookBehindChars), at);
  return before.trim() === "" || beforeExpression.test(before);
}

function endOfRegExp(source: string, start: number): number {
  let inClass = false;
  let at = start + 1;
  while (at < source.length) {
    const char = source.charAt(at);
    if (char === "\n" || (char === "/" && !inClass)) return at;
    if (char === "[") inClass = true;
    if (char === "]") inClass = false;
    at += char === "\\" ? 2 : 1;
  }
  return at;
}
