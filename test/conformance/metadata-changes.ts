/** Commits that change parts of a file: what is covered afterwards, what is a hole, and what the books say of it. */
import { expect } from "bun:test";
import type { Inode } from "../../protocol/ids.ts";
import { extentsPerWindowMax, fileBytesMax } from "../../protocol/limits.ts";
import type { Attr, ContentChange, Extent, FileCommit } from "../../protocol/schema.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import type { MetadataStore } from "../../src/meta/store.ts";
import {
  collectAll,
  createStore,
  expectCode,
  fileCommit,
  newUpload,
  nodeNames,
  offerPieces,
  owner,
  piece,
  writeFile,
} from "../support/metadata.ts";
import type { Check } from "./metadata-store.ts";

const everything = { offset: 0, lengthBytes: 1_000_000, limit: 10_000 };

interface Change {
  readonly sizeBytes: number;
  readonly changes: readonly ContentChange[];
}

/** Stores the pieces that the changes name, and commits. */
async function change(metadata: MetadataStore, attr: Attr, to: Change, more: Partial<FileCommit> = {}): Promise<Attr> {
  const upload = newUpload();
  const pieces = to.changes.flatMap(({ extents }) => extents.flatMap(({ chunk }) => textOf.get(chunk ?? "") ?? []));
  const store = attr.store ?? attr.inode;
  await offerPieces(metadata, { upload, store, pieces });
  const [node] = nodeNames;
  const chunks = [...new Set(pieces)].map((text) => piece(text).chunk);
  const confirmed = node === undefined || chunks.length === 0 ? [] : [{ node, chunks }];
  const { extents: _, ...file } = fileCommit({ parent: store, name: "file", inode: attr.inode, replaces: attr });
  const files = [{ ...file, sizeBytes: to.sizeBytes, changes: [...to.changes], ...more }];
  const { attrs } = await metadata.commit({ upload, files, confirmed, last: true, owner });
  if (!attrs[0]) throw new Error("no attributes came back");
  return attrs[0];
}

const textOf = new Map<string, string>();

/** All of a chunk, or a part of it. */
function of(text: string, chunkOffset?: number, plainBytes?: number): Extent {
  const whole = piece(text);
  textOf.set(whole.chunk, text);
  if (chunkOffset === undefined) return whole;
  return { chunk: whole.chunk, plainBytes: plainBytes ?? whole.plainBytes, chunkOffset, chunkBytes: whole.plainBytes };
}

function hole(plainBytes: number): Extent {
  return { chunk: null, plainBytes };
}

/** What stands where: `a:10 3..7 of 10 at 20`. */
async function shown(metadata: MetadataStore, inode: Inode): Promise<string[]> {
  const extents = await metadata.extents(inode, everything);
  return extents.map(({ chunk, offset, plainBytes, chunkOffset, chunkBytes }) => {
    const text = textOf.get(chunk) ?? chunk;
    return `${offset}: ${text.split(":")[0]} ${chunkOffset}+${plainBytes} of ${chunkBytes}`;
  });
}

export function changesSuite(check: Check): void {
  check("cuts what reaches into a changed range, and keeps the rest", async ({ metadata }) => {
    const store = await createStore(metadata);
    const pieces = [of("a:10"), of("b:10"), of("c:10")].map(({ chunk }) => textOf.get(chunk ?? "") ?? "");
    const first = await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces });
    const second = await change(metadata, first, { sizeBytes: 30, changes: [{ offset: 12, extents: [of("d:3")] }] });
    expect(second).toMatchObject({ inode: first.inode, version: 2, sizeBytes: 30 });
    const inTwo = ["0: a 0+10 of 10", "10: b 0+2 of 10", "12: d 0+3 of 3", "15: b 5+5 of 10", "20: c 0+10 of 10"];
    expect(await shown(metadata, first.inode)).toEqual(inTwo);
    const third = await change(metadata, second, { sizeBytes: 30, changes: [{ offset: 5, extents: [hole(8), of("e:9", 2, 4)] }] });
    expect(await shown(metadata, first.inode)).toEqual(["0: a 0+5 of 10", "13: e 2+4 of 9", "17: b 7+3 of 10", "20: c 0+10 of 10"]);
    expect(third.holeBytes).toBe(8);
    // A cut and a lengthening need no content.
    const cut = await change(metadata, third, { sizeBytes: 18, changes: [] });
    const grown = await change(metadata, cut, { sizeBytes: 100, changes: [] });
    expect(await shown(metadata, first.inode)).toEqual(["0: a 0+5 of 10", "13: e 2+4 of 9", "17: b 7+1 of 10"]);
    expect(grown).toMatchObject({ version: 5, sizeBytes: 100, holeBytes: 90 });
    expect(await metadata.storeByName("media")).toMatchObject({ logicalBytes: 100, chunks: 3, storedBytes: 74 + 73 + 74 });
    expect(await metadata.usage(first.inode)).toMatchObject({ logicalBytes: 100, storedBytes: 74 + 73 + 74 });
    expect((await collectAll(metadata)).get(nodeNames[0] ?? owner)?.sort()).toEqual([piece("c:10").chunk, piece("d:3").chunk].sort());
  });

  check("answers the extents of a range, with holes between them", async ({ metadata }) => {
    const store = await createStore(metadata);
    const empty = await writeFile(metadata, store.inode, { parent: store.inode, name: "file" });
    const extents = [hole(10), of("a:10"), hole(10), of("b:10")];
    const { inode } = await change(metadata, empty, { sizeBytes: 50, changes: [{ offset: 0, extents }] });
    const offsets = async (offset: number, lengthBytes: number) =>
      (await metadata.extents(inode, { offset, lengthBytes, limit: 10 })).map((extent) => extent.offset);
    expect(await offsets(0, 10)).toEqual([]);
    expect(await offsets(0, 11)).toEqual([10]);
    expect(await offsets(19, 11)).toEqual([10]);
    expect(await offsets(20, 10)).toEqual([]);
    expect(await offsets(20, 100)).toEqual([30]);
    expect(await offsets(40, 100)).toEqual([]);
  });

  check("takes holes in a whole content, and copies them", async ({ metadata }) => {
    const store = await createStore(metadata);
    const upload = newUpload();
    const file = { ...fileCommit({ parent: store.inode, name: "sparse" }), sizeBytes: 1_000_000, extents: [hole(1_000_000)] };
    const { attrs } = await metadata.commit({ upload, files: [file], confirmed: [], last: true, owner });
    const [sparse] = attrs;
    if (!sparse) throw new Error("no attributes came back");
    const filled = await change(metadata, sparse, { sizeBytes: 1_000_000, changes: [{ offset: 500, extents: [of("a:10", 2, 5)] }] });
    const copy = await metadata.clone(sparse.inode, { parent: store.inode, name: "copy" }, { replace: false, owner });
    expect([filled.holeBytes, copy.holeBytes]).toEqual([999_995, 999_995]);
    expect(await shown(metadata, copy.inode)).toEqual(["500: a 2+5 of 10"]);
  });

  check("takes many changes that are long holes in no time", async ({ metadata }) => {
    const store = await createStore(metadata);
    const empty = await writeFile(metadata, store.inode, { parent: store.inode, name: "file" });
    const changes = Array.from({ length: 256 }, () => ({ offset: 0, extents: [hole(fileBytesMax)] }));
    const { holeBytes } = await change(metadata, empty, { sizeBytes: fileBytesMax, changes });
    expect(holeBytes).toBe(fileBytesMax);
  });

  check("refuses changes to another version, behind the end, of chunks without a copy, and too many pieces", async ({ metadata }) => {
    const store = await createStore(metadata, "media", { quotaBytes: 10_000 });
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "file", pieces: ["a:10"] });
    const one = { sizeBytes: 10, changes: [{ offset: 0, extents: [of("b:5")] }] };
    await expectCode("conflict", change(metadata, { ...file, version: 2 }, one));
    await expectCode("invalid_argument", change(metadata, file, { sizeBytes: 9, changes: [{ offset: 5, extents: [of("b:5")] }] }));
    await expectCode("quota_exceeded", change(metadata, file, { sizeBytes: 10_001, changes: [] }));
    const unknown = { chunk: piece("nowhere:5").chunk, plainBytes: 5 };
    await expectCode("conflict", change(metadata, file, { sizeBytes: 10, changes: [{ offset: 0, extents: [unknown] }] }));
    const many = Array.from({ length: extentsPerWindowMax + 1 }, () => of("b:5"));
    await expectCode("too_large", change(metadata, file, { sizeBytes: 10_000, changes: [{ offset: 0, extents: many }] }));
    expect(await metadata.getAttr(file.inode)).toMatchObject({ version: 1, sizeBytes: 10 });
    expect(await shown(metadata, file.inode)).toHaveLength(1);
  });

  check("never lets what is being freed pass for a hole", async ({ metadata }) => {
    const store = await createStore(metadata);
    const pieces = Array.from({ length: 600 }, (_, index) => `p${index % 7}:10`);
    const file = await writeFile(metadata, store.inode, { parent: store.inode, name: "long", pieces });
    await metadata.remove({ parent: store.inode, name: "long" }, "file", { by: "dora" });
    await expectCode("not_found", metadata.extents(file.inode, everything));
  });

  check("leaves after random changes what they leave of a file byte by byte", async ({ metadata }) => {
    const random = createSeededRandom(5);
    const store = await createStore(metadata);
    let attr = await writeFile(metadata, store.inode, { parent: store.inode, name: "file" });
    let bytes: string[] = [];
    for (let step = 0; step < 60; step++) {
      const sizeBytes = random.int(3) === 0 ? random.int(80) : bytes.length;
      bytes = Array.from({ length: sizeBytes }, (_, index) => bytes[index] ?? "-");
      const changes: ContentChange[] = [];
      for (let more = random.int(4); more > 0 && sizeBytes > 0; more--) {
        const offset = random.int(sizeBytes);
        const extents: Extent[] = [];
        for (let at = offset; at < sizeBytes && random.int(3) > 0; ) {
          const plainBytes = 1 + random.int(Math.min(20, sizeBytes - at));
          const chunkOffset = random.int(40 - plainBytes);
          const name = `k${random.int(5)}`;
          const extent = random.int(3) === 0 ? hole(plainBytes) : of(`${name}:40`, chunkOffset, plainBytes);
          extents.push(extent);
          for (let index = 0; index < plainBytes; index++)
            bytes[at + index] = extent.chunk === null ? "-" : `${name}/${chunkOffset + index}`;
          at += plainBytes;
        }
        changes.push({ offset, extents });
      }
      attr = await change(metadata, attr, { sizeBytes, changes });
      const found: string[] = Array.from({ length: sizeBytes }, () => "-");
      for (const extent of await metadata.extents(attr.inode, everything)) {
        const name = textOf.get(extent.chunk)?.split(":")[0];
        for (let index = 0; index < extent.plainBytes; index++) {
          expect(found[extent.offset + index]).toBe("-");
          found[extent.offset + index] = `${name}/${extent.chunkOffset + index}`;
        }
      }
      expect(found).toEqual(bytes);
      expect(attr.holeBytes ?? 0).toBe(bytes.filter((byte) => byte === "-").length);
      const used = new Set(bytes.filter((byte) => byte !== "-").map((byte) => byte.split("/")[0]));
      expect(await metadata.storeByName("media")).toMatchObject({ chunks: used.size, logicalBytes: sizeBytes });
    }
  });
}
