/**
 * Reads what `bun test` reports in the JUnit format. Only the tests are counted, not the totals in
 * the report's head, so that each number can be traced to names.
 */
export interface TestReport {
  readonly passed: number;
  /** `file: group > name`. */
  readonly failed: readonly string[];
  /** As above; a test that is still to be written says so at its end. */
  readonly skipped: readonly string[];
  /** Files that had at least one test, as the report names them. */
  readonly files: ReadonlySet<string>;
}

export const emptyReport: TestReport = { passed: 0, failed: [], skipped: [], files: new Set() };

export function readReport(xml: string): TestReport {
  let passed = 0;
  const failed: string[] = [];
  const skipped: string[] = [];
  const files = new Set<string>();
  for (const [, attributes = "", , body = ""] of xml.matchAll(/<testcase\s([^>]*?)(\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const file = attribute(attributes, "file");
    // Bun names the innermost group first.
    const groups = attribute(attributes, "classname").split(" > ").reverse();
    const name = `${file}: ${[...groups, attribute(attributes, "name")].filter((part) => part !== "").join(" > ")}`;
    files.add(file);
    if (/<(?:failure|error)[\s>/]/.test(body)) failed.push(name);
    else if (/<skipped[\s>/]/.test(body)) skipped.push(body.includes('message="TODO"') ? `${name} (TODO)` : name);
    else passed += 1;
  }
  return { passed, failed, skipped, files };
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function attribute(attributes: string, name: string): string {
  const value = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  return value.replace(/&(?:#(\d+)|(\w+));/g, (all, code: string | undefined, entity: string | undefined) =>
    code === undefined ? (entities[entity ?? ""] ?? all) : String.fromCodePoint(Number(code)),
  );
}
