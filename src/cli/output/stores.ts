/** Datastores for people. */
import type { Store } from "../../../protocol/schema.ts";
import type { UsableSpace } from "../../cluster/usable.ts";
import { formatSize } from "../../core/units.ts";
import { formatTime } from "./entries.ts";
import { capacityCell, wrongCountCell } from "./health.ts";
import { redundancyText } from "./store-text.ts";
import { type Cell, renderFields, renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { countOf, formatCount, printable } from "./text.ts";

export function renderStores(stores: readonly Store[], terminal: Terminal): string {
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
      formatCount(store.files),
      formatSize(store.logicalBytes),
      formatSize(store.storedBytes),
      store.policy.quotaBytes === null ? "-" : formatSize(store.policy.quotaBytes),
      wrongCountCell(store.degradedChunks, terminal.colours.warn),
    ]),
    width: terminal.columns,
    colours: terminal.colours,
    unicode: terminal.unicode,
  });
}

export function renderStore(store: Store, space: UsableSpace, terminal: Terminal): string {
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
    ["files", `${formatCount(store.files)}, ${formatSize(store.logicalBytes)}`],
    ["stored", `${formatSize(store.storedBytes)} in each copy${savedText(store)}`],
    ["quota", policy.quotaBytes === null ? "none" : quotaText(store.logicalBytes, policy.quotaBytes)],
    ...(policy.quotaBytes === null
      ? []
      : [["used", capacityCell({ usedBytes: store.logicalBytes, totalBytes: policy.quotaBytes }, terminal)] satisfies [string, Cell]]),
    ["available", { text: formatSize(space.availableBytes), paint: space.availableBytes === 0 ? colours.bad : colours.bold }],
    ...namedOnce("because", space.limits),
    ...namedOnce("for more", space.raise),
    ["chunks", formatCount(store.chunks)],
    [
      "degraded",
      store.degradedChunks === 0
        ? { text: "none, every chunk has its copies", paint: colours.good }
        : { text: `${countOf(store.degradedChunks, "chunk")} with fewer copies than asked for`, paint: colours.warn },
    ],
  ];
  return renderFields({ fields, colours });
}

/** One field on as many lines as it has texts; the name stands on the first. */
function namedOnce(name: string, texts: readonly string[]): [string, Cell][] {
  return texts.map((text, index) => [index === 0 ? name : "", text]);
}

/** On one line: `media: hybrid, replicas 2, encrypted, no quota`. */
export function describeStore({ name, policy }: Store): string {
  const encryption = policy.encrypt ? "encrypted" : "not encrypted";
  const quota = policy.quotaBytes === null ? "no quota" : `quota ${formatSize(policy.quotaBytes)}`;
  return `${printable(name)}: ${policy.strategy}, ${redundancyText(policy)}, ${encryption}, ${quota}`;
}

function quotaText(usedBytes: number, quotaBytes: number): string {
  return `${formatSize(quotaBytes)}, ${formatSize(Math.max(0, quotaBytes - usedBytes))} left`;
}

/** By compression, and by storing what is equal once. */
function savedText({ logicalBytes, storedBytes }: Store): string {
  const saved = logicalBytes === 0 ? 0 : 1 - storedBytes / logicalBytes;
  return saved < 0.01 ? "" : `, ${Math.floor(saved * 100)} % saved`;
}
