/**
 * A mount's file system against a plain one in memory: the same random operations on both, and no difference in any byte or error. Some
 * files stay open while they are renamed, replaced and removed; what was closed is read by a second client as well.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { kibibyte, mebibyte } from "../../protocol/limits.ts";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import type { OpenFile, Place } from "../../src/vfs/file-system.ts";
import { content } from "../support/content.ts";
import { startTestMember, type TestMember } from "../support/member.ts";
import { expectCode } from "../support/metadata.ts";
import { call, openTestFileSystem, type TestFileSystem } from "../support/vfs.ts";

let member: TestMember;
beforeAll(async () => {
  member = await startTestMember();
  for (const local of ["node-01", "node-02"]) await member.startNode(local);
});
afterAll(() => member[Symbol.asyncDispose]());

interface ModelFile {
  bytes: Uint8Array;
}

interface Opened {
  readonly file: OpenFile;
  readonly model: ModelFile;
}

/** Small chunks, the step to middling ones, and a little beyond. */
const sizes = [1, 100, 4 * kibibyte, 64 * kibibyte, 65 * kibibyte, 300 * kibibyte, mebibyte, mebibyte + 5_000] as const;
const names = ["a", "b", "c", "d", "e"] as const;

class Exercise {
  readonly #random: Random;
  readonly #fs: TestFileSystem;
  readonly #other: TestFileSystem;
  readonly #root: string;
  readonly #tree = new Map<string, ModelFile>();
  readonly #opened: Opened[] = [];
  #step = 0;

  constructor(random: Random, on: { readonly fs: TestFileSystem; readonly other: TestFileSystem; readonly root: string }) {
    this.#random = random;
    this.#fs = on.fs;
    this.#other = on.other;
    this.#root = on.root;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.int(from.length)] as T;
  }

  #path(name: string): string {
    return `${this.#root}/${name}`;
  }

  /** As a kernel does before it changes a name. */
  async #lookUp(name: string): Promise<Place> {
    await this.#fs.find(this.#path(name));
    return await this.#fs.place(this.#path(name));
  }

  async run(steps: number): Promise<void> {
    const actions = [
      this.#open,
      this.#write,
      this.#write,
      this.#write,
      this.#read,
      this.#resize,
      this.#sync,
      this.#close,
      this.#rename,
      this.#exchange,
      this.#link,
      this.#unlink,
    ];
    for (this.#step = 0; this.#step < steps; this.#step++) {
      // So that what is believed for a second has to be asked again now and then.
      member.clock.nowMs += this.#random.int(600);
      for (const node of member.nodes()) await node.register();
      await this.#pick(actions).call(this);
    }
    while (this.#opened.length > 0) await this.#close();
    for (const reader of [this.#fs, this.#other]) {
      expect(await reader.names(this.#root)).toEqual([...this.#tree.keys()].sort());
      for (const [name, { bytes }] of this.#tree) this.#same(await reader.readFile(this.#path(name)), bytes);
    }
  }

  #same(found: Uint8Array, expected: Uint8Array): void {
    if (Buffer.compare(found, expected) === 0) return;
    const at = expected.findIndex((byte, index) => byte !== found[index]);
    throw new Error(`step ${this.#step}: ${found.length} bytes, expected ${expected.length}; they differ at ${at}`);
  }

  async #open(): Promise<void> {
    if (this.#opened.length >= 4) return;
    const name = this.#pick(names);
    const known = this.#tree.get(name);
    const truncate = this.#random.int(4) === 0;
    const model = known ?? { bytes: new Uint8Array(0) };
    const file = known ? await this.#fs.open(this.#path(name), { truncate }) : await this.#fs.create(this.#path(name));
    if (known) await expectCode("already_exists", this.#fs.create(this.#path(name)));
    if (truncate) model.bytes = new Uint8Array(0);
    this.#tree.set(name, model);
    this.#opened.push({ file, model });
  }

  async #write(): Promise<void> {
    const { file, model } = this.#pick(this.#opened) ?? {};
    if (!file || !model) return;
    const data = content(1 + this.#random.int(this.#pick(sizes)), this.#step + 1);
    const at = this.#random.int(3) === 0 ? model.bytes.length : this.#random.int(this.#pick(sizes));
    await this.#fs.write(file, data, at);
    const grown = new Uint8Array(Math.max(model.bytes.length, at + data.length));
    grown.set(model.bytes);
    grown.set(data, at);
    model.bytes = grown;
  }

  async #read(): Promise<void> {
    const { file, model } = this.#pick(this.#opened) ?? {};
    if (!file || !model) return;
    const at = this.#random.int(this.#pick(sizes));
    const bytes = this.#random.int(this.#pick(sizes));
    this.#same(await this.#fs.read(file, at, bytes), model.bytes.subarray(at, at + bytes));
    const { attributes } = await this.#fs.fs.getAttributes(call, file.inode, file.handle);
    expect(attributes.sizeBytes).toBe(model.bytes.length);
  }

  async #resize(): Promise<void> {
    const { file, model } = this.#pick(this.#opened) ?? {};
    if (!file || !model) return;
    const sizeBytes = this.#random.int(this.#pick(sizes));
    const handle = this.#random.int(2) === 0 ? { handle: file.handle } : {};
    const isNamed = [...this.#tree.values()].includes(model);
    if (!isNamed && handle.handle === undefined) return;
    await this.#fs.fs.setAttributes(call, file.inode, { sizeBytes, clearSetIds: false, ...handle });
    const cut = new Uint8Array(sizeBytes);
    cut.set(model.bytes.subarray(0, sizeBytes));
    model.bytes = cut;
  }

  async #sync(): Promise<void> {
    const { file, model } = this.#pick(this.#opened) ?? {};
    if (!file || !model) return;
    await this.#fs.fs.sync(call, file, { dataOnly: false });
    const name = [...this.#tree].find(([, named]) => named === model)?.[0];
    if (name !== undefined) this.#same(await this.#other.readFile(this.#path(name)), model.bytes);
  }

  async #close(): Promise<void> {
    const [one] = this.#opened.splice(this.#random.int(this.#opened.length), 1);
    if (one) await this.#fs.close(one.file);
  }

  async #rename(): Promise<void> {
    const [from, to] = [this.#pick(names), this.#pick(names)];
    const model = this.#tree.get(from);
    const moving = Promise.all([this.#lookUp(from), this.#lookUp(to)]).then(([source, target]) =>
      this.#fs.fs.rename(call, source, target, "replace"),
    );
    if (!model) {
      await expectCode("not_found", moving);
      return;
    }
    await moving;
    // Two names of one file stay as they are.
    if (this.#tree.get(to) === model) return;
    this.#tree.delete(from);
    this.#tree.set(to, model);
  }

  async #exchange(): Promise<void> {
    const [one, other] = [this.#pick(names), this.#pick(names)];
    const [first, second] = [this.#tree.get(one), this.#tree.get(other)];
    const swapping = Promise.all([this.#lookUp(one), this.#lookUp(other)]).then(([from, to]) =>
      this.#fs.fs.rename(call, from, to, "exchange"),
    );
    if (!first || !second) {
      await expectCode("not_found", swapping);
      return;
    }
    await swapping;
    this.#tree.set(one, second);
    this.#tree.set(other, first);
  }

  /** By either client: the other must not be led astray. */
  async #link(): Promise<void> {
    const [from, to] = [this.#pick(names), this.#pick(names)];
    const model = this.#tree.get(from);
    const by = this.#pick([this.#fs, this.#other]);
    const linking = Promise.all([by.find(this.#path(from)), by.place(this.#path(to))]).then(([found, place]) =>
      found ? by.fs.link(call, found.attributes.inode, place) : undefined,
    );
    if (model && this.#tree.has(to)) await expectCode("already_exists", linking);
    else await linking;
    if (model && !this.#tree.has(to)) this.#tree.set(to, model);
  }

  async #unlink(): Promise<void> {
    const name = this.#pick(names);
    const removing = this.#lookUp(name).then((place) => this.#fs.fs.unlink(call, place));
    if (!this.#tree.delete(name)) await expectCode("not_found", removing);
    else await removing;
  }
}

describe("random operations", () => {
  for (const seed of [1, 2, 3, 4]) {
    test(`with seed ${seed} leave what they leave in memory`, async () => {
      const remote = member.remote();
      await using fs = await openTestFileSystem({ remote });
      await using other = await openTestFileSystem({ remote: member.remote() });
      await fs.fs.makeDirectory(call, await fs.place(`/store-${seed}`), 0o755);
      await new Exercise(createSeededRandom(seed), { fs, other, root: `/store-${seed}` }).run(250);
    }, 60_000);
  }
});
