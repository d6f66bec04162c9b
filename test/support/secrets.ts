/**
 * Secrets of a collective on this machine, and where they show up in what its processes were told and
 * have said. Tickets are kept nowhere, so they are looked for by their form: longer than anything else
 * that is ever printed in one piece.
 */
import { Database } from "bun:sqlite";
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseInviteCode } from "../../protocol/invite.ts";
import type { Transcript } from "./transcripts.ts";

export interface Secret {
  readonly what: string;
  /** However it may be written. */
  readonly forms: readonly string[];
  /** A word of the commands whose standard output it is meant to stand on. */
  readonly printedBy?: string;
  /** Words of the commands that may be given it by whoever types them. */
  readonly givenTo?: readonly string[];
}

/** Private keys and datastore keys in all folders below. Databases must not be open any more. */
export function secretsBelow(folder: string): Secret[] {
  const files = new Bun.Glob("**/{metadata.db,*.pem,*.key}").scanSync({ cwd: folder, dot: true, absolute: true });
  return [...files].flatMap((path) => (path.endsWith(".db") ? storeKeys(path) : privateKeys(path)));
}

/** A secret of bytes in the forms that programs print bytes in. */
export function secretBytes(what: string, bytes: Uint8Array): Secret {
  const buffer = Buffer.from(bytes);
  const encoded = (["hex", "base64", "base64url"] as const).map((encoding) => buffer.toString(encoding).replace(/=+$/, ""));
  return { what, forms: [...encoded, buffer.toString("hex").toUpperCase(), [...bytes].join(","), [...bytes].join(", ")] };
}

/** An invite code and its secret alone, in groups and without. */
export function inviteCode(what: string, code: string): Secret {
  // The groups that carry nothing but the secret, which lies behind 136 bits of others.
  const inside = code.split("-").slice(6, 10);
  const texts = ["-", "", " "].map((joint) => inside.join(joint));
  const { forms } = secretBytes(what, parseInviteCode(code).secret);
  return {
    what,
    forms: [...forms, ...texts, ...texts.map((text) => text.toLowerCase())],
    printedBy: "generate",
    givenTo: ["redeem", "revoke", "add", "--join"],
  };
}

function privateKeys(path: string): Secret[] {
  const pem = readFileSync(path, "utf8");
  if (!pem.includes("PRIVATE KEY")) return [];
  const seed = createPrivateKey(pem).export({ format: "der", type: "pkcs8" }).subarray(-32);
  const lines = pem.split("\n").filter((line) => line.length > 20 && !line.startsWith("-----"));
  const bytes = secretBytes(`the private key ${path}`, seed);
  return [{ ...bytes, forms: [...bytes.forms, ...lines] }];
}

function storeKeys(path: string): Secret[] {
  using db = new Database(path, { readonly: true });
  const rows = db.query<{ inode: number; key: Uint8Array }, []>("SELECT inode, key FROM datastore").all();
  return rows.map(({ inode, key }) => secretBytes(`the key of datastore ${inode}`, key));
}

const forbidden: readonly { readonly what: string; readonly pattern: RegExp }[] = [
  { what: "something as long as a ticket", pattern: /[A-Za-z0-9+/_=-]{130,}/ },
  { what: "a private key", pattern: /PRIVATE KEY/ },
  { what: "an authorization header", pattern: /authorization/i },
  { what: "bytes of a program", pattern: /Uint8Array|<Buffer / },
];

/** One line for each place where a secret shows. What the caller gave, arguments and content of files, is not looked at for forms. */
export function leaksIn(transcripts: readonly Transcript[], secrets: readonly Secret[]): string[] {
  return transcripts.flatMap((transcript) => {
    const command = transcript.args.slice(0, 3).join(" ");
    const places = { arguments: transcript.args.join("\n"), stdout: transcript.stdout(), stderr: transcript.stderr() };
    return Object.entries(places).flatMap(([place, text]) => {
      const meant = ({ printedBy, givenTo = [] }: Secret) =>
        (place === "stdout" && printedBy !== undefined && transcript.args.includes(printedBy)) ||
        (place === "arguments" && givenTo.some((word) => transcript.args.includes(word)));
      const found = secrets.filter((secret) => !meant(secret) && secret.forms.some((form) => text.includes(form)));
      const known = found.map(({ what }) => what);
      const isGiven = place === "arguments" || (place === "stdout" && transcript.args.includes("read"));
      const shapes = isGiven ? [] : forbidden.filter(({ pattern }) => pattern.test(text)).map(({ what }) => what);
      return [...known, ...shapes].map((what) => `${command}: ${what} in its ${place}`);
    });
  });
}
