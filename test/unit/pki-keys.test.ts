import { describe, expect, test } from "bun:test";
import { generateKeyPairSync, sign, verify } from "node:crypto";
import { mkdir, readdir, readFile, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import {
  generateKeyPair,
  privateKeyFromPem,
  publicKeyFromRaw,
  rawPublicKeyOf,
  writePublicFile,
  writeSecretFile,
} from "../../src/pki/keys.ts";
import { testFolder, thrownBy } from "../support/pki.ts";

describe("keys", () => {
  test("a raw public key verifies what its private key signed", () => {
    const { privateKeyPem, publicKeyRaw } = generateKeyPair();
    const message = Buffer.from("hello");
    const signature = sign(null, message, privateKeyFromPem(privateKeyPem));
    expect(publicKeyRaw).toHaveLength(32);
    expect(verify(null, message, publicKeyFromRaw(publicKeyRaw), signature)).toBe(true);
    expect(rawPublicKeyOf(privateKeyFromPem(privateKeyPem))).toEqual(publicKeyRaw);
    expect(rawPublicKeyOf(publicKeyFromRaw(publicKeyRaw))).toEqual(publicKeyRaw);
    expect(verify(null, message, publicKeyFromRaw(generateKeyPair().publicKeyRaw), signature)).toBe(false);
  });

  test("other kinds and other lengths are refused, without a word of the key in the message", async () => {
    const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = other.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    expect(() => privateKeyFromPem(pem)).toThrow("not an Ed25519 key");
    expect(() => rawPublicKeyOf(other.publicKey)).toThrow("not an Ed25519 key");
    expect(await thrownBy(() => publicKeyFromRaw(new Uint8Array(31)))).toMatchObject({ code: "invalid_argument" });
    expect(await thrownBy(() => rawPublicKeyOf("junk"))).toMatchObject({ code: "invalid_argument" });
    const damaged = generateKeyPair().privateKeyPem.replace("MC4", "secret!");
    expect(await thrownBy(() => privateKeyFromPem(damaged))).toMatchObject({
      code: "configuration",
      message: expect.not.stringContaining("secret"),
    });
  });
});

describe("key files", () => {
  test("are 0600 in folders of 0700, replaced whole, with nothing left over", async () => {
    await using folder = await testFolder();
    const path = join(folder.path, "a", "b", "key.pem");
    await writeSecretFile(path, "first");
    await writeSecretFile(path, "second");
    expect(await readFile(path, "utf8")).toBe("second");
    const mode = async (at: string) => (await stat(at)).mode & 0o777;
    expect(await mode(path)).toBe(0o600);
    expect(await mode(join(folder.path, "a"))).toBe(0o700);
    expect(await mode(join(folder.path, "a", "b"))).toBe(0o700);
    await writePublicFile(join(folder.path, "a", "b", "cert.pem"), "public");
    expect(await mode(join(folder.path, "a", "b", "cert.pem"))).toBe(0o644);
    expect((await readdir(join(folder.path, "a", "b"))).sort()).toEqual(["cert.pem", "key.pem"]);
  });

  test("are not written through a link to somewhere else", async () => {
    await using folder = await testFolder();
    const [path, elsewhere] = [join(folder.path, "key.pem"), join(folder.path, "elsewhere")];
    await writePublicFile(elsewhere, "untouched");
    await symlink(elsewhere, path);
    await writeSecretFile(path, "secret");
    expect(await readFile(elsewhere, "utf8")).toBe("untouched");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("that cannot be written name the path and leave nothing behind", async () => {
    await using folder = await testFolder();
    const path = join(folder.path, "taken");
    await mkdir(path);
    expect(await thrownBy(() => writeSecretFile(path, "x"))).toMatchObject({
      name: "CollectiveError",
      message: expect.stringContaining(path),
    });
    expect(await readdir(folder.path)).toEqual(["taken"]);
    expect(await thrownBy(() => writeSecretFile("/proc/none/key.pem", "x"))).toMatchObject({ name: "CollectiveError" });
  });
});
