/** What every metadata store has to do. Call it with a way to make one. */
import { describe, test } from "bun:test";
import type { MetadataStore } from "../../src/meta/store.ts";
import type { HandClock } from "../support/pki.ts";
import { changesSuite } from "./metadata-changes.ts";
import { chunkMapSuite } from "./metadata-chunks.ts";
import { commitSuite } from "./metadata-commit.ts";
import { grantsSuite } from "./metadata-grants.ts";
import { hostsSuite } from "./metadata-hosts.ts";
import { namespaceSuite } from "./metadata-namespace.ts";
import { posixSuite } from "./metadata-posix.ts";
import { storesSuite } from "./metadata-stores.ts";
import { surplusSuite } from "./metadata-surplus.ts";

export interface MetadataUnderTest extends AsyncDisposable {
  /** Knows the nodes of `nodeNames`, and nothing else yet. */
  readonly metadata: MetadataStore;
  readonly clock: HandClock;
}

export interface MetadataSuiteOptions {
  readonly name: string;
  readonly create: () => Promise<MetadataUnderTest>;
}

export type Check = (name: string, run: (under: MetadataUnderTest) => Promise<void>) => void;

export function metadataStoreSuite(options: MetadataSuiteOptions): void {
  const check: Check = (name, run) => {
    test(name, async () => {
      await using under = await options.create();
      await run(under);
    });
  };
  describe(`metadata store: ${options.name}`, () => {
    describe("namespace", () => namespaceSuite(check));
    describe("posix", () => posixSuite(check));
    describe("stores and nodes", () => storesSuite(check));
    describe("commit", () => commitSuite(check));
    describe("changes", () => changesSuite(check));
    describe("chunks", () => chunkMapSuite(check));
    describe("surplus", () => surplusSuite(check));
    describe("grants", () => grantsSuite(check));
    describe("hosts", () => hostsSuite(check));
  });
}
