/**
 * Ed25519 keys and the files they live in.
 *
 * Invariants: a public key travels as its 32 raw bytes; a private key only ever as PKCS#8 PEM in a
 * file of mode 0600. A file written here appears whole or not at all, also across a power cut.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmod, mkdir, open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { systemRandom } from "../core/random.ts";

export const publicKeyBytes = 32;

/** What precedes the 32 bytes in the SubjectPublicKeyInfo of every Ed25519 key (RFC 8410, section 4). */
const ed25519SpkiPrefix = Buffer.from("302a300506032b6570032100", "hex");

export interface KeyPair {
  readonly privateKeyPem: string;
  readonly publicKeyRaw: Uint8Array;
}

export function generateKeyPair(): KeyPair {
  const pair = generateKeyPairSync("ed25519");
  return {
    privateKeyPem: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKeyRaw: rawPublicKeyOf(pair.publicKey),
  };
}

/** Throws `invalid_argument` unless it is exactly the 32 bytes of an Ed25519 key. */
export function publicKeyFromRaw(raw: Uint8Array): KeyObject {
  if (raw.length !== publicKeyBytes) {
    throw new CollectiveError("invalid_argument", `an Ed25519 public key has ${publicKeyBytes} bytes, not ${raw.length}`);
  }
  try {
    return createPublicKey({ key: Buffer.concat([ed25519SpkiPrefix, raw]), format: "der", type: "spki" });
  } catch (error) {
    throw new CollectiveError("invalid_argument", "not an Ed25519 public key", { cause: error });
  }
}

/** Throws `invalid_argument` for text that is no certificate and for keys that are not Ed25519. */
export function rawPublicKeyOf(source: string | KeyObject): Uint8Array {
  const key = typeof source === "string" ? publicKeyOfPem(source) : source;
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const raw = publicKey.type === "public" ? rawFromSpki(publicKey.export({ type: "spki", format: "der" })) : undefined;
  if (!raw) throw new CollectiveError("invalid_argument", "the key is not an Ed25519 key");
  return raw;
}

/** The 32 bytes inside a SubjectPublicKeyInfo, or undefined when it holds another kind of key. */
export function rawFromSpki(spki: Uint8Array): Uint8Array | undefined {
  if (spki.length !== ed25519SpkiPrefix.length + publicKeyBytes) return undefined;
  if (!ed25519SpkiPrefix.equals(spki.subarray(0, ed25519SpkiPrefix.length))) return undefined;
  return Uint8Array.from(spki.subarray(ed25519SpkiPrefix.length));
}

/** Throws `configuration`: a private key that does not parse is something the person in front must repair. */
export function privateKeyFromPem(pem: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch {
    // The reason may quote the key's text, so it goes nowhere.
    throw new CollectiveError("configuration", "the private key is not readable as PKCS#8 PEM");
  }
  throw new CollectiveError("configuration", "the private key is not an Ed25519 key");
}

function publicKeyOfPem(pem: string): KeyObject {
  try {
    return createPublicKey(pem);
  } catch (error) {
    throw new CollectiveError("invalid_argument", "not a certificate or public key in PEM", { cause: error });
  }
}

/**
 * Writes a private key or another secret: mode 0600, in a folder made with mode 0700 if it is
 * missing. An existing folder keeps its mode, as it may be shared. Durable on return; replaces.
 */
export async function writeSecretFile(path: string, text: string): Promise<void> {
  await writeWhole(path, text, { fileMode: 0o600, folderMode: 0o700 });
}

/** The same for what anybody may read: mode 0644. The folder is still private if it is made here: keys usually live beside. */
export async function writePublicFile(path: string, text: string): Promise<void> {
  await writeWhole(path, text, { fileMode: 0o644, folderMode: 0o700 });
}

/** Makes renames and removals inside a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function writeWhole(path: string, text: string, modes: { fileMode: number; folderMode: number }): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${Buffer.from(systemRandom.bytes(6)).toString("hex")}.tmp`);
  try {
    await mkdir(folder, { recursive: true, mode: modes.folderMode });
    const file = await open(temporary, "wx", modes.fileMode);
    try {
      await file.writeFile(text);
      // The umask of the process may have taken bits away.
      await chmod(temporary, modes.fileMode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    const reason = toCollectiveError(error);
    throw new CollectiveError(reason.code, `cannot write ${path}: ${reason.message}`, { cause: error });
  }
}
