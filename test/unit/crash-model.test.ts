import { expect, test } from "bun:test";
import { absent, createCrashModel } from "../support/e2e-crash-model.ts";

const found = (entries: Record<string, string>) => new Map(Object.entries(entries));

test("the model of the crash loop allows what may be, and nothing else", () => {
  const model = createCrashModel();
  model.apply([{ changes: [{ path: "/a", outcome: "1" }], succeeded: true }]);
  expect(model.observe(found({ "/a": "1" }))).toEqual([]);
  expect(model.observe(found({}))).toEqual(["/a is gone"]);
  model.apply([{ changes: [{ path: "/a", outcome: "1" }], succeeded: true }]);

  // Cut off: the old or the new content, and the one that was seen stays.
  model.apply([{ changes: [{ path: "/a", outcome: "2" }], succeeded: false }]);
  expect(model.observe(found({ "/a": "2" }))).toEqual([]);
  expect(model.observe(found({ "/a": "1" }))).toEqual(["/a holds what nobody wrote: 1"]);

  // At the same time: one of them, and not the old one once one has succeeded.
  model.apply([
    { changes: [{ path: "/b", outcome: "3" }], succeeded: true },
    { changes: [{ path: "/b", outcome: "4" }], succeeded: false },
  ]);
  expect(model.observe(found({ "/a": "1", "/b": "4" }))).toEqual([]);
  model.apply([{ changes: [{ path: "/b", outcome: absent }], succeeded: true }]);
  expect(model.observe(found({ "/a": "1", "/b": "4" }))).toEqual(["/b holds what nobody wrote: 4"]);
  expect(model.observe(found({ "/a": "1", "/b.part": "4" }))).toContain("/b.part was never written, and is there");
});
