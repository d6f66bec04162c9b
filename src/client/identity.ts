/**
 * Who this person is, in `$COLLECTIVE_HOME/identity`: `key.pem` (0600), one key for all collectives, and
 * `identity.json`, the name it was made for. The key is made here and goes nowhere.
 *
 * The key comes first and the name last: a key without a name is one whose joining was cut off, and the
 * next attempt goes on with it, so that the coordinator knows it again.
 */
import { join } from "node:path";
import { z } from "zod";
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, parseGlobalName } from "../../protocol/ids.ts";
import type { Clock } from "../core/clock.ts";
import { checkJson, formatMistake, parsedText } from "../core/json-file.ts";
import type { Random } from "../core/random.ts";
import { readOptional } from "../pki/credential-files.ts";
import { generateKeyPair, privateKeyFromPem, rawPublicKeyOf, writeSecretFile } from "../pki/keys.ts";
import { replaceFile, withFileLock } from "./locked-file.ts";

export interface PersonalIdentity {
  readonly name: GlobalName;
  /** RFC 3339. */
  readonly created: string;
  readonly keyFile: string;
  readonly privateKeyPem: string;
  readonly publicKeyRaw: Uint8Array;
}

/** Every method may throw `configuration` when a file cannot be used. Writes are durable when they return. */
export interface IdentityFolder {
  readonly folder: string;
  /** Undefined when none was made yet. */
  read(): Promise<PersonalIdentity | undefined>;
  /** Makes the key if there is none. Throws `already_exists` when the identity has a name already. */
  create(name: GlobalName): Promise<PersonalIdentity>;
  /** The key of the identity, made if there is none. */
  key(): Promise<string>;
}

const fileSchema = z.strictObject({
  version: z.literal(1, "not a version that this executable understands; a newer one wrote the file"),
  global_id: parsedText(parseGlobalName),
  created: z.iso.datetime({ offset: true, error: "not a time in RFC 3339" }),
});

export function openIdentity(home: string, { clock, random }: { readonly clock: Clock; readonly random: Random }): IdentityFolder {
  const folder = join(home, "identity");
  const file = join(folder, "identity.json");
  const keyFile = join(folder, "key.pem");
  const ownKey = async (): Promise<string> => {
    const known = await readOptional(keyFile);
    if (known !== undefined) return known;
    const { privateKeyPem } = generateKeyPair();
    await writeSecretFile(keyFile, privateKeyPem);
    return privateKeyPem;
  };
  const read = async (): Promise<PersonalIdentity | undefined> => {
    const text = await readOptional(file);
    if (text === undefined) return undefined;
    const checked = checkJson(text, fileSchema);
    if (!checked.ok) throw new CollectiveError("configuration", `${file}: ${checked.mistakes.map(formatMistake).join("; ")}`);
    const privateKeyPem = await readOptional(keyFile);
    if (privateKeyPem === undefined)
      throw new CollectiveError("configuration", `${keyFile} is missing`, { hint: "restore it from a backup" });
    const publicKeyRaw = rawPublicKeyOf(privateKeyFromPem(privateKeyPem));
    return { name: checked.value.global_id, created: checked.value.created, keyFile, privateKeyPem, publicKeyRaw };
  };
  return {
    folder,
    read,
    create: (name) =>
      withFileLock({ file, clock, random }, async (lock) => {
        const known = await read();
        if (known) {
          throw new CollectiveError("already_exists", `there is an identity already, ${known.name}`, {
            hint: `it is in ${folder}; a key that is thrown away cannot be had back`,
          });
        }
        await ownKey();
        const created = new Date(clock.wallMs()).toISOString();
        await replaceFile(lock, file, `${JSON.stringify({ version: 1, global_id: name, created }, null, 2)}\n`);
        const made = await read();
        if (!made) throw new CollectiveError("internal", `${file} has vanished`);
        return made;
      }),
    // Two commands at once must not each make one and certify the one that was replaced.
    key: () => withFileLock({ file, clock, random }, ownKey),
  };
}
