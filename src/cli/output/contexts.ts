/** Contexts, as `config` and `identity` list them. */
import type { NamedContext } from "../../client/context-file.ts";
import { renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { printable } from "./text.ts";

export function jsonContext({ name, isCurrent, member, coordinator, identity, created }: NamedContext): Record<string, unknown> {
  return { name, current: isCurrent, member, coordinator, identity: identity ?? null, created };
}

export function renderContexts(contexts: readonly NamedContext[], out: Terminal): string {
  if (contexts.length === 0) return "no contexts yet; redeem an invite, start a coordinator here, or make one with: collective init";
  return renderTable({
    columns: [
      { header: "" },
      { header: "NAME" },
      { header: "MEMBER", flexible: true },
      { header: "COORDINATOR" },
      { header: "IDENTITY", flexible: true },
    ],
    rows: contexts.map((context) => [
      { text: context.isCurrent ? "*" : "", paint: out.colours.good },
      printable(context.name),
      context.member,
      context.coordinator,
      context.identity ?? "-",
    ]),
    width: out.columns,
    colours: out.colours,
    unicode: out.unicode,
  });
}
