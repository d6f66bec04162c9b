/**
 * Which file imports which, and whether it may: imports point down the ranks, never up or sideways.
 *
 * Specifiers are found by regular expression, because a bundler's scanner drops the type-only
 * imports through which layers usually leak.
 */
import { dirname, normalize } from "node:path/posix";
import type { SourceViews } from "./tidy-source.ts";

/** A folder, or a file where a file is a layer of its own, and its rank. The longest match wins. */
const ranks: ReadonlyMap<string, number> = new Map([
  ["protocol", 0],
  ["src/core", 1],
  ["src/pki", 2],
  ["src/db", 2],
  ["src/net", 3],
  ["src/codec", 3],
  ["src/chunk", 4],
  ["src/meta", 4],
  ["src/cluster", 4],
  ["src/client", 5],
  ["src/gossip", 5],
  ["src/repair", 5],
  ["src/vfs", 6],
  ["src/coordinator", 6],
  ["src/node", 6],
  ["src/fuse", 7],
  ["src/gateway", 7],
  ["tui", 7],
  ["src/daemon", 8],
  ["src/cli", 9],
  ["src/main.ts", 10],
]);

/** The version has one home, and it is outside the layers. */
const importableByAll: ReadonlySet<string> = new Set(["package.json"]);

/** `entryPoint` is what the executable starts with; whatever it does not reach is dead. */
export const entryPoint = "src/main.ts";

export interface Import {
  readonly specifier: string;
  /** Offset of the specifier in the source. */
  readonly offset: number;
}

/** Match where strings are blank, so that what a string says about imports is none. */
const importPatterns: readonly RegExp[] = [
  /\b(?:import|export)\b[^"'`;]*?\bfrom\s*["'](\s*)["']/dg,
  /\bimport\s*["'](\s*)["']/dg,
  /\b(?:import|require)\s*\(\s*["'`](\s*)["'`]/dg,
  /\bnew\s+URL\s*\(\s*["'`](\s*)["'`]\s*,\s*import\.meta\.url/dg,
];

/** In the order of the source. */
export function importsOf(source: string, views: SourceViews): Import[] {
  const found: Import[] = [];
  for (const pattern of importPatterns) {
    for (const match of views.code.matchAll(pattern)) {
      const [start, end] = match.indices?.[1] ?? [0, 0];
      found.push({ specifier: source.slice(start, end), offset: start });
    }
  }
  return found.sort((a, b) => a.offset - b.offset);
}

/** Path from the root of the repository, or undefined for a package. */
export function resolveImport(importer: string, specifier: string): string | undefined {
  return specifier.startsWith(".") ? normalize(`${dirname(importer)}/${specifier}`) : undefined;
}

export function isLayered(path: string): boolean {
  return /^(?:protocol|src|tui)\//.test(path);
}

/** Why `importer` may not import `target`, or undefined when it may. Paths are from the root of the repository. */
export function layerViolation(importer: string, target: string): string | undefined {
  if (!isLayered(importer) || importableByAll.has(target)) return undefined;
  const from = layerOf(importer);
  const to = layerOf(target);
  // A file without a layer is reported once by itself, not with each of its imports.
  if (from === undefined || from.name === to?.name) return undefined;
  if (to === undefined) return `${from.name} imports ${target}, which is not part of the program: only protocol, src and tui are`;
  if (to.rank < from.rank) return undefined;
  const relation = to.rank === from.rank ? "the same rank" : "a higher rank";
  return `${from.name} (rank ${from.rank}) imports ${to.name} (rank ${to.rank}), ${relation}: move what both need down, or take it through an interface`;
}

export function layerOf(path: string): { readonly name: string; readonly rank: number } | undefined {
  for (let name = path; name !== "." && name !== "/"; name = dirname(name)) {
    const rank = ranks.get(name);
    if (rank !== undefined) return { name, rank };
  }
  return undefined;
}

/** The simplest implementation of an interface, which its suite compares the others with; the program need not use it. */
const referenceImplementation = /\/memory\.ts$/;

/** Whole before the command that will use them is: it takes its line away. */
const awaitingTheirCommand: readonly string[] = ["src/vfs/file-system.ts"];

/** Layered files that no chain of imports from the entry point reaches. Empty while there is no entry point. */
export function unreachable(importsByPath: ReadonlyMap<string, readonly string[]>): string[] {
  if (!importsByPath.has(entryPoint)) return [];
  const references = [...importsByPath.keys()].filter((path) => referenceImplementation.test(path));
  const reached = new Set([entryPoint, ...references, ...awaitingTheirCommand]);
  // A set may grow while it is walked; each file is visited once.
  for (const path of reached) {
    for (const target of importsByPath.get(path) ?? []) reached.add(target);
  }
  // The compiler finds declarations by itself.
  return [...importsByPath.keys()].filter((path) => isLayered(path) && !path.endsWith(".d.ts") && !reached.has(path));
}
