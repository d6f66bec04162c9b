import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { checkTidy, formatFinding, readTree } from "../../scripts/tidy.ts";
import { importsOf } from "../../scripts/tidy-imports.ts";
import { viewsOf } from "../../scripts/tidy-source.ts";

function findingsIn(path: string, text: string): string[] {
  return checkTidy([{ path, text }]).map(formatFinding);
}

describe("layers", () => {
  const refused: readonly [string, string, string, string][] = [
    ["upwards", "src/meta/a.ts", `import { x } from "../client/b.ts";`, "src/meta (rank 4) imports src/client (rank 5), a higher rank"],
    ["sideways", "src/pki/a.ts", `import { x } from "../db/b.ts";`, "src/pki (rank 2) imports src/db (rank 2), the same rank"],
    ["type-only", "src/core/a.ts", `import type { X } from "../net/b.ts";`, "a higher rank"],
    ["inline type", "src/core/a.ts", `import { type X } from "../net/b.ts";`, "a higher rank"],
    ["type query", "src/core/a.ts", `type X = typeof import("../net/b.ts");`, "a higher rank"],
    ["dynamic", "src/core/a.ts", `const x = await import("../net/b.ts");`, "a higher rank"],
    ["for its effect", "src/core/a.ts", `import "../net/b.ts";`, "a higher rank"],
    ["over several lines", "src/core/a.ts", `import {\n  x,\n  y,\n} from "../net/b.ts";`, "a higher rank"],
    ["export from", "protocol/a.ts", `export * from "../src/core/b.ts";`, "protocol (rank 0) imports src/core (rank 1)"],
    ["export type from", "protocol/a.ts", `export type { X } from "../src/core/b.ts";`, "a higher rank"],
    ["the entry point", "src/cli/a.ts", `import { x } from "../main.ts";`, "imports src/main.ts (rank 10)"],
    ["tests", "src/core/a.ts", `import { x } from "../../test/support/b.ts";`, "not part of the program"],
  ];
  test.each(refused)("refuses an import %s", (_, path, text, reason) => {
    const findings = findingsIn(path, text);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toContain(reason);
  });

  const accepted: readonly [string, string, string][] = [
    ["down", "src/client/a.ts", `import { x } from "../meta/b.ts";`],
    ["inside the folder", "src/meta/a.ts", `import { x } from "./b.ts"; import { y } from "./deep/c.ts";`],
    ["from a subfolder", "src/cli/commands/a.ts", `import { x } from "../index.ts"; import { y } from "../../daemon/b.ts";`],
    ["of a package", "src/core/a.ts", `import { z } from "zod"; import { join } from "node:path";`],
    ["of the version", "src/core/a.ts", `import { version } from "../../package.json";`],
    ["of a file that is embedded", "src/meta/a.ts", `import sql from "./0001-begin.sql" with { type: "text" };`],
    ["in a comment", "src/core/a.ts", `// import { x } from "../net/b.ts";\n/* import "../net/b.ts" */`],
    ["in a string", "src/core/a.ts", "const text = `import { x } from '../net/b.ts'`;"],
    ["anywhere, by a test", "test/unit/a.test.ts", `import { x } from "../../src/cli/b.ts"; import { y } from "../support/c.ts";`],
    ["anywhere, by a script", "scripts/a.ts", `import { x } from "../src/daemon/b.ts";`],
  ];
  test.each(accepted)("accepts an import %s", (_, path, text) => {
    expect(findingsIn(path, text)).toEqual([]);
  });

  test("names the line of the import", () => {
    const text = `/** Contract. */\nimport { z } from "zod";\nimport { x } from "../net/b.ts";\n`;
    expect(findingsIn("src/core/a.ts", text)[0]).toStartWith("src/core/a.ts:3: ");
  });

  test("asks for the rank of a new folder, once", () => {
    expect(findingsIn("src/utils/a.ts", `import { x } from "../net/b.ts";`)).toEqual([
      "src/utils/a.ts:1: this folder has no rank: give it one in scripts/tidy-imports.ts",
    ]);
  });

  test("asks for the extension of a file", () => {
    expect(findingsIn("src/core/a.ts", `import { x } from "./b";`)[0]).toContain("lacks its extension");
  });
});

describe("calls that have one home", () => {
  const banned: readonly [string, string, string][] = [
    ["Date.now()", "src/core/clock.ts", "wallMs()"],
    ["new Date()", "src/core/clock.ts", "new Date(clock.wallMs())"],
    ["new Date;", "src/core/clock.ts", "new Date(clock.wallMs())"],
    ["performance.now()", "src/core/clock.ts", "monotonicMs()"],
    ["setTimeout(f, 1)", "src/core/clock.ts", "sleep()"],
    ["globalThis.setTimeout(f, 1)", "src/core/clock.ts", "sleep()"],
    ["setInterval(f, 1)", "src/core/clock.ts", "every()"],
    ["Bun.sleep(1)", "src/core/clock.ts", "sleep()"],
    ["Math.random()", "src/core/random.ts", "Random"],
    ["console.log(1)", "src/core/log.ts", "Log"],
    ["process.exit(1)", "src/main.ts", "exit code"],
  ];
  test.each(banned)("%s outside of %s", (call, home, replacement) => {
    const findings = findingsIn("src/node/a.ts", `const x = 1;\n${call}`);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toStartWith("src/node/a.ts:2: ");
    expect(findings[0]).toContain(replacement);
    expect(findingsIn(home, call)).toEqual([]);
    expect(findingsIn("src/main.ts", call)).toEqual([]);
    expect(findingsIn("test/unit/a.test.ts", call)).toEqual([]);
    expect(findingsIn("scripts/a.ts", call)).toEqual([]);
  });

  test.each([
    "new Date(clock.wallMs())",
    "socket.setTimeout(1000)",
    "type Timer = ReturnType<typeof setTimeout>;",
    "clearTimeout(timer)",
    "this.process.exit(1)",
    "const reason = 'Date.now() is not for here';",
    "// console.log(1)",
    "/** Math.random() is not for here. */",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is source that has a template in it
    "const text = `setTimeout( ${name} console.log(`;",
    "const pattern = /Math.random()/;",
  ])("accepts %s", (text) => {
    expect(findingsIn("src/node/a.ts", text)).toEqual([]);
  });

  test("a call inside a template counts", () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is source that has templates in it
    expect(findingsIn("src/node/a.ts", "const text = `at ${Date.now()} ${`${Math.random()}`}`;")).toHaveLength(2);
  });
});

describe("text", () => {
  test("at most 400 lines, in tests 500", () => {
    expect(findingsIn("src/node/a.ts", "const x = 1;\n".repeat(400))).toEqual([]);
    expect(findingsIn("src/node/a.ts", "const x = 1;\n".repeat(401))[0]).toContain("401 lines are more than 400");
    expect(findingsIn("test/unit/a.test.ts", "const x = 1;\n".repeat(500))).toEqual([]);
    expect(findingsIn("test/unit/a.test.ts", "const x = 1;\n".repeat(501))[0]).toContain("501 lines are more than 500");
  });

  test("what is left to do has an issue", () => {
    expect(findingsIn("test/unit/a.ts", "// TODO: later")[0]).toContain("TODO (#123)");
    expect(findingsIn("src/node/a.ts", "const a = 1; /* FIXME */")).toHaveLength(1);
    expect(findingsIn("src/node/a.ts", "// TODO (#12): later\n// TODO(#3) too")).toEqual([]);
    expect(findingsIn("src/node/a.ts", `const mastodon = "TODO";`)).toEqual([]);
  });

  test("no test leaves the others out", () => {
    expect(findingsIn("test/unit/a.test.ts", `test.only("x", () => {});`)[0]).toContain(".only(");
    expect(findingsIn("test/unit/a.test.ts", `test("x", () => expect(text).toBe(".only("));`)).toEqual([]);
  });
});

describe("dead files", () => {
  const live = [
    { path: "src/main.ts", text: `import { run } from "./cli/index.ts";` },
    { path: "src/cli/index.ts", text: `const commands = { ls: () => import("./commands/ls.ts") };` },
    { path: "src/cli/commands/ls.ts", text: `import type { X } from "../../../protocol/x.ts";` },
    { path: "protocol/x.ts", text: "" },
  ];

  test("what the entry point reaches is alive, also by types and dynamic imports", () => {
    expect(checkTidy(live)).toEqual([]);
  });

  test("what only a test reaches is dead, but for the reference implementation of an interface", () => {
    const files = [
      ...live,
      { path: "src/core/old.ts", text: "" },
      { path: "src/chunk/memory.ts", text: `import { x } from "./checks.ts";` },
      { path: "src/chunk/checks.ts", text: "" },
      { path: "test/unit/old.test.ts", text: `import { x } from "../../src/core/old.ts";` },
    ];
    expect(checkTidy(files).map((finding) => finding.path)).toEqual(["src/core/old.ts"]);
  });

  test("nothing is dead before there is an entry point", () => {
    expect(checkTidy([{ path: "src/core/old.ts", text: "" }])).toEqual([]);
  });
});

test("views keep every line break and tell division from a regular expression", () => {
  const source = `const a = b / c; // it's\nconst d = /["'\`]/.test(e) ? \`\${f({ g: "}" })}\n\` : 'h\\'i';\n/* j */ k();`;
  const views = viewsOf(source);
  expect(views.code.split("\n")).toEqual([
    "const a = b / c;        ",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is source that has a template in it
    'const d = /     /.test(e) ? `${f({ g: " " })}',
    "` : '    ';",
    "        k();",
  ]);
  expect(views.comments.trim().split(/\s+\n\s+/)).toEqual(["// it's", "/* j */"]);
});

describe("this repository", async () => {
  const files = await readTree(join(import.meta.dir, "../.."));

  test("is tidy", () => {
    expect(checkTidy(files).map(formatFinding)).toEqual([]);
  });

  test("has no import that the layer check overlooks", () => {
    const transpiler = new Bun.Transpiler({ loader: "ts" });
    for (const { path, text } of files) {
      const seen = new Set(importsOf(text, viewsOf(text)).map((found) => found.specifier));
      const overlooked = transpiler.scanImports(text).filter((found) => !seen.has(found.path));
      expect({ path, overlooked }).toEqual({ path, overlooked: [] });
    }
  });
});
