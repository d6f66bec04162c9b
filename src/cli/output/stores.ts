/** Datastores for people. */
import type { ListedStore } from "../../../protocol/schema.ts";
import type { UsableSpace } from "../../cluster/usable.ts";
import { formatSize } from "../../core/units.ts";
import { formatTime } from "./entries.ts";
import { capacityCell, wrongCountCell } from "./health.ts";
import { redundancyText, textOr } from "./store-text.ts";
import { type Cell, renderFields, renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { countOf, formatCount, printable } from "./text.ts";

export function renderStores(stores: readonly ListedStore[], terminal: Terminal): string {
  return renderTable({
    columns: [
      { header: "STORE", flexible: true },
      { header: "STRATEGY" },
      { header: "REDUNDANCY" },
      { header: "ENCRYPTED" },
      { header: "FILES", align: "right" },
      { header: "SIZE", align: "right" },
      { header: "STORED", align: "right" },
      { header: "QUOTA", align: "right" },
      { header: "DEGRADED", align: "right" },
    ],
    rows: stores.map((store) => [
      store.name,
      store.policy.strategy,
      redundancyText(store.policy),
      store.policy.encrypt ? "yes" : "no",
      textOr(store.files, formatCount),
      textOr(store.logicalBytes, formatSize),
      textOr(store.storedBytes, formatSize),
      store.policy.quotaBytes === null ? "-" : formatSize(store.policy.quotaBytes),
      store.degradedChunks === null ? "-" : wrongCountCell(store.degradedChunks, terminal.colours.warn),
    ]),
    width: terminal.columns,
    colours: terminal.colours,
    unicode: terminal.unicode,
  });
}

export function renderStore(store: ListedStore, space: UsableSpace | undefined, terminal: Terminal): string {
  const { colours } = terminal;
  const { policy } = store;
  const fields: [string, Cell][] = [
    ["name", { text: store.name, paint: colours.bold }],
    ["owner", store.owner || "-"],
    ["created", `${formatTime(BigInt(Math.trunc(store.createdMs)) * 1_000_000n)} UTC`],
    ["strategy", policy.strategy],
    [
      "redundancy",
      `${redundancyText(policy)}: every chunk on ${policy.replicas === 1 ? "one node" : `${policy.replicas} different nodes`}`,
    ],
    [
      "encryption",
      policy.encrypt ? "AES-256-GCM, nodes see ciphertext only" : { text: "none, nodes see the content", paint: colours.warn },
    ],
    ["members", `at least ${policy.minMembers}`],
    ...contentFields(store, terminal),
    ...(space ? spaceFields(space, terminal) : []),
  ];
  return renderFields({ fields, colours });
}

/** Whoever may not read all of the store is told no more than its quota. */
function contentFields(store: ListedStore, terminal: Terminal): [string, Cell][] {
  const { quotaBytes } = store.policy;
  const { files, logicalBytes, storedBytes, chunks, degradedChunks } = store;
  if (files === null || logicalBytes === null || storedBytes === null || chunks === null || degradedChunks === null) {
    return [["quota", quotaBytes === null ? "none" : formatSize(quotaBytes)]];
  }
  const { colours } = terminal;
  return [
    ["files", `${formatCount(files)}, ${formatSize(logicalBytes)}`],
    ["stored", `${formatSize(storedBytes)} in each copy${savedText({ logicalBytes, storedBytes })}`],
    ["quota", quotaBytes === null ? "none" : quotaText(logicalBytes, quotaBytes)],
    ...(quotaBytes === null
      ? []
      : [["used", capacityCell({ usedBytes: logicalBytes, totalBytes: quotaBytes }, terminal)] satisfies [string, Cell]]),
    ["chunks", formatCount(chunks)],
    [
      "degraded",
      degradedChunks === 0
        ? { text: "none, every chunk has its copies", paint: colours.good }
        : { text: `${countOf(degradedChunks, "chunk")} with fewer copies than asked for`, paint: colours.warn },
    ],
  ];
}

function spaceFields({ availableBytes, limits, raise }: UsableSpace, { colours }: Terminal): [string, Cell][] {
  return [
    ["available", { text: formatSize(availableBytes), paint: availableBytes === 0 ? colours.bad : colours.bold }],
    ...namedOnce("because", limits),
    ...namedOnce("for more", raise),
  ];
}

/** One field on as many lines as it has texts; the name stands on the first. */
function namedOnce(name: string, texts: readonly string[]): [string, Cell][] {
  return texts.map((text, index) => [index === 0 ? name : "", text]);
}

/** On one line: `media: hybrid, replicas 2, encrypted, no quota`. */
export function describeStore({ name, policy }: Pick<ListedStore, "name" | "policy">): string {
  const encryption = policy.encrypt ? "encrypted" : "not encrypted";
  const quota = policy.quotaBytes === null ? "no quota" : `quota ${formatSize(policy.quotaBytes)}`;
  return `${printable(name)}: ${policy.strategy}, ${redundancyText(policy)}, ${encryption}, ${quota}`;
}

function quotaText(usedBytes: number, quotaBytes: number): string {
  return `${formatSize(quotaBytes)}, ${formatSize(Math.max(0, quotaBytes - usedBytes))} left`;
}

/** By compression, and by storing what is equal once. */
function savedText({ logicalBytes, storedBytes }: { readonly logicalBytes: number; readonly storedBytes: number }): string {
  const saved = logicalBytes === 0 ? 0 : 1 - storedBytes / logicalBytes;
  return saved < 0.01 ? "" : `, ${Math.floor(saved * 100)} % saved`;
}
