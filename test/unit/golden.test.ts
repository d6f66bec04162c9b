/** What any released version has written is read by this one. See test/golden/write.ts. */

import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { deriveChunkKeys, hashChunk, openChunk, sealChunk, sealedBytesMax } from "../../src/codec/sealed-chunk.ts";
import { silentLog } from "../../src/core/log.ts";
import { openDatabase } from "../../src/db/database.ts";
import { metadataApplicationId, metadataMigrations } from "../../src/meta/migrations.ts";
import { createSqliteMetadata } from "../../src/meta/sqlite.ts";
import { createTicketVerifier, openReceipt } from "../../src/pki/ticket.ts";
import {
  contentOf,
  goldenChunks,
  goldenFolder,
  goldenReceipt,
  goldenSigner,
  goldenStoreKey,
  goldenTicket,
  goldenTimeMs,
} from "../golden/write.ts";
import { collectAll, owner, writeFile } from "../support/metadata.ts";
import { handClock, testFolder } from "../support/pki.ts";

const versions = readdirSync(goldenFolder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));

function hex(version: string, name: string): Uint8Array {
  return new Uint8Array(Buffer.from(readFileSync(join(goldenFolder, version, name), "utf8").trim(), "hex"));
}

function schemaOf(path: string): unknown {
  const sqlite = new Database(path, { readonly: true });
  try {
    return sqlite.query("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name").all();
  } finally {
    sqlite.close();
  }
}

test("there is something to read", () => {
  expect(versions).toContain("0.1.0");
});

for (const version of versions) {
  describe(`what ${version} wrote`, () => {
    test("opens as chunks", () => {
      const keys = deriveChunkKeys(goldenStoreKey);
      for (const [name, { plain, encrypted }] of Object.entries(goldenChunks)) {
        const stored = hex(version, `chunk-${name}.hex`);
        const opened = openChunk(stored, { keys: encrypted ? keys : undefined, out: new Uint8Array(plain.length) });
        expect(Buffer.compare(opened, plain)).toBe(0);
      }
    });

    test("is what equal bytes still become, so that nothing is stored twice", () => {
      const keys = deriveChunkKeys(goldenStoreKey);
      for (const [name, { plain, encrypted }] of Object.entries(goldenChunks)) {
        // Another zstd may pack the same text differently; what is not packed never changes.
        if (name.startsWith("text")) continue;
        const sealed = sealChunk(plain, { keys: encrypted ? keys : undefined, out: new Uint8Array(sealedBytesMax(plain.length)) });
        expect(sealed.id).toBe(hashChunk(hex(version, `chunk-${name}.hex`)));
      }
    });

    test("is a ticket and a receipt", () => {
      const ticket = goldenTicket();
      const verifier = createTicketVerifier({
        isWithdrawn: () => false,
        audience: ticket.audience,
        coordinatorKeyFor: () => goldenSigner(1).publicKeyRaw,
        clock: handClock(goldenTimeMs),
        cacheEntriesMax: 1,
      });
      expect(verifier.verify(hex(version, "ticket.hex"))).toEqual(ticket);
      expect(openReceipt(hex(version, "receipt.hex"), goldenSigner(2).publicKeyRaw)).toEqual(goldenReceipt());
    });

    test("is a metadata database, which is upgraded to what a new one would be", async () => {
      await using folder = await testFolder();
      const [path, fresh] = [join(folder.path, "metadata.db"), join(folder.path, "fresh.db")];
      await Bun.write(path, zstdDecompressSync(readFileSync(join(goldenFolder, version, "metadata.db.zst"))));
      const options = { applicationId: metadataApplicationId, migrations: metadataMigrations, log: silentLog };
      const metadata = createSqliteMetadata({ db: openDatabase({ ...options, path }), clock: handClock(goldenTimeMs) });
      // What was written then, and what is known of it besides by now.
      expect(await contentOf(metadata)).toMatchObject(JSON.parse(readFileSync(join(goldenFolder, version, "metadata.json"), "utf8")));
      const { entries } = await metadata.list((await metadata.storeByName("media")).inode, { limit: 10 });
      const directories = entries.filter(({ attr }) => attr.type === "directory");
      expect((await metadata.resolve(["media"])).attr?.links).toBe(2 + directories.length);
      for (const { attr } of entries) {
        expect(attr).toMatchObject({ uid: null, gid: null, atimeNs: attr.mtimeNs });
        if (attr.type !== "directory") expect(attr.links).toBe(1);
      }
      // It is not only read: it goes on being used.
      const media = await metadata.storeByName("media");
      expect(await collectAll(metadata)).toEqual(new Map());
      const written = await writeFile(metadata, media.inode, { parent: media.inode, name: "new", pieces: ["a:10", "new:4"] });
      expect(written).toMatchObject({ sizeBytes: 14, version: 1, owner });
      await metadata.remove({ parent: media.inode, name: "films" }, "tree", { by: "dora" });
      expect(await metadata.storeByName("media")).toMatchObject({ files: 2, chunks: 2 });
      await metadata.close();
      await openDatabase({ ...options, path: fresh }).close();
      expect(schemaOf(path)).toEqual(schemaOf(fresh));
    });
  });
}
