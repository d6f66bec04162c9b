/**
 * The rules of the house that no compiler checks, each with its reason in the message.
 *
 *   bun scripts/tidy.ts     prints `file:line: reason` for each breach and exits 1 if there is one
 */
import { join } from "node:path";
import { importsOf, isLayered, layerOf, layerViolation, resolveImport, unreachable } from "./tidy-imports.ts";
import { type SourceViews, viewsOf } from "./tidy-source.ts";

export interface TidyFile {
  /** From the root of the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Finding {
  readonly path: string;
  /** From 1. */
  readonly line: number;
  readonly reason: string;
}

const fileLinesMax = 400;
/** A suite that is one list of cases reads better whole. */
const testLinesMax = 500;

interface Ban {
  readonly pattern: RegExp;
  readonly call: string;
  readonly homes: readonly string[];
  readonly instead: string;
}

/** A name that is not a member of something else: `socket.setTimeout(` is another function. */
const free = String.raw`(?<![\w$]|(?<!globalThis)\.)`;

const bans: readonly Ban[] = [
  ban("Date.now(", String.raw`Date\.now\s*\(`, "src/core/clock.ts", "take a Clock and call wallMs()"),
  ban(
    "new Date()",
    String.raw`new\s+Date\s*(?:\(\s*\)|(?![\s(\w.]))`,
    "src/core/clock.ts",
    "take a Clock and call new Date(clock.wallMs())",
  ),
  ban("performance.now(", String.raw`performance\.now\s*\(`, "src/core/clock.ts", "take a Clock and call monotonicMs()"),
  ban("setTimeout(", String.raw`setTimeout\s*\(`, "src/core/clock.ts", "take a Clock and call sleep()"),
  ban("setInterval(", String.raw`setInterval\s*\(`, "src/core/clock.ts", "take a Clock and call every()"),
  ban("Bun.sleep(", String.raw`Bun\.sleep(?:Sync)?\s*\(`, "src/core/clock.ts", "take a Clock and call sleep()"),
  ban("Math.random(", String.raw`Math\.random\s*\(`, "src/core/random.ts", "take a Random and call next() or int()"),
  ban("console.", String.raw`console\s*\??\.`, "src/core/log.ts", "take a Log, or return what the command prints"),
  ban("process.exit(", String.raw`process\.exit\s*\(`, "src/main.ts", "return the exit code, or throw a CollectiveError"),
];

function ban(call: string, pattern: string, home: string, instead: string): Ban {
  return { call, pattern: new RegExp(free + pattern, "g"), homes: [home, "src/main.ts"], instead };
}

/** Findings in the order of the files, then of their lines. Reads nothing but its argument. */
export function checkTidy(files: readonly TidyFile[]): Finding[] {
  const findings: Finding[] = [];
  const importsByPath = new Map<string, readonly string[]>();
  for (const file of files) {
    const views = viewsOf(file.text);
    const report = (offset: number, reason: string): void => {
      findings.push({ path: file.path, line: lineOf(file.text, offset), reason });
    };
    importsByPath.set(file.path, checkImports(file, views, report));
    checkCalls(file.path, views, report);
    checkText(file, views, report);
  }
  for (const path of unreachable(importsByPath)) {
    findings.push({ path, line: 1, reason: "nothing that src/main.ts imports leads here: use it or remove it" });
  }
  const order = new Map(files.map((file, index) => [file.path, index]));
  return findings.sort((a, b) => (order.get(a.path) ?? 0) - (order.get(b.path) ?? 0) || a.line - b.line);
}

type Report = (offset: number, reason: string) => void;

/** Returns the files that this one imports. */
function checkImports({ path, text }: TidyFile, views: SourceViews, report: Report): string[] {
  const targets: string[] = [];
  if (isLayered(path) && layerOf(path) === undefined) report(0, "this folder has no rank: give it one in scripts/tidy-imports.ts");
  for (const { specifier, offset } of importsOf(text, views)) {
    const target = resolveImport(path, specifier);
    if (target === undefined) continue;
    targets.push(target);
    const violation = layerViolation(path, target);
    if (violation !== undefined) report(offset, violation);
    if (!/\.\w+$/.test(specifier)) report(offset, `the import of ${specifier} lacks its extension`);
  }
  return targets;
}

function checkCalls(path: string, views: SourceViews, report: Report): void {
  for (const match of views.code.matchAll(/\.only\s*\(/g)) report(match.index, ".only( leaves the other tests out: remove it");
  if (!isLayered(path)) return;
  for (const { pattern, call, homes, instead } of bans) {
    if (homes.includes(path)) continue;
    for (const match of views.code.matchAll(pattern)) report(match.index, `${call} is for ${homes[0]} alone: ${instead}`);
  }
}

function checkText(file: TidyFile, views: SourceViews, report: Report): void {
  for (const match of views.comments.matchAll(/\b(?:TODO|FIXME|XXX)\b(?!\s*\(#\d+\))/g)) {
    report(match.index, `${match[0]} needs the number of an issue: ${match[0]} (#123)`);
  }
  const lines = file.text.split("\n").length - (file.text.endsWith("\n") ? 1 : 0);
  const linesMax = file.path.startsWith("test/") ? testLinesMax : fileLinesMax;
  if (lines > linesMax) report(file.text.length - 1, `${lines} lines are more than ${linesMax}: split the file by what it is about`);
}

function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

/** The TypeScript files of the repository, sorted by path. */
export async function readTree(root: string): Promise<TidyFile[]> {
  const glob = new Bun.Glob("{protocol,src,tui,scripts,test,examples}/**/*.ts");
  const paths = (await Array.fromAsync(glob.scan({ cwd: root }))).sort();
  return Promise.all(paths.map(async (path) => ({ path, text: await Bun.file(join(root, path)).text() })));
}

export function formatFinding({ path, line, reason }: Finding): string {
  return `${path}:${line}: ${reason}`;
}

if (import.meta.main) {
  const files = await readTree(join(import.meta.dir, ".."));
  const findings = checkTidy(files);
  for (const finding of findings) console.error(formatFinding(finding));
  console.log(`tidy: ${files.length} files, ${findings.length} findings`);
  process.exit(findings.length > 0 ? 1 : 0);
}
