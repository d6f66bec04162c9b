/** Invites for people: what a code gives, and what has become of it. */
import { groupCodeText, tidyCodeText } from "../../../protocol/code-text.ts";
import { formatRights, type Right } from "../../../protocol/rights.ts";
import type { InviteSummary } from "../../../protocol/routes.ts";
import { formatDuration } from "../../core/units.ts";
import { formatTime } from "./entries.ts";
import { renderQr } from "./qr.ts";
import { renderTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { countOf, printable } from "./text.ts";

type Grants = readonly { readonly path: string | null; readonly rights: readonly Right[] }[];

export function jsonGrants(grants: Grants): { path: string | null; rights: Right[] }[] {
  return grants.map(({ path, rights }) => ({ path, rights: [...rights] }));
}

export function jsonInvite(invite: InviteSummary, nowMs: number): Record<string, unknown> {
  return {
    id: invite.id,
    for: invite.kind,
    name: invite.name,
    state: stateOf(invite, nowMs),
    grants: jsonGrants(invite.grants),
    max_uses: invite.usesMax,
    uses: invite.uses,
    description: invite.description,
    created: new Date(invite.createdMs).toISOString(),
    created_by: invite.createdBy,
    expires: new Date(invite.expiresMs).toISOString(),
  };
}

function stateOf(invite: InviteSummary, nowMs: number): "open" | "used up" | "expired" | "revoked" {
  if (invite.revokedMs !== null) return "revoked";
  if (invite.uses >= invite.usesMax) return "used up";
  return invite.expiresMs <= nowMs ? "expired" : "open";
}

/** `/shared: read+write` */
export function grantLines(grants: Grants): string[] {
  return grants.map(({ path, rights }) => `${path === null ? "(gone)" : printable(path)}: ${formatRights(rights)}`);
}

const whom = { person: "a person", node: "a storage node", member: "another member" } as const;
const howToUse = {
  person: "collective invite redeem",
  node: "collective serve --role node --node-id NAME --join",
  member: "collective federation peer add",
} as const;
/** A line of the code, for reading aloud. */
const lineCharacters = 25;

export function renderNewInvite(
  made: { readonly code: string; readonly invite: InviteSummary; readonly nowMs: number },
  out: Terminal,
): string {
  const { code, invite, nowMs } = made;
  const { bold, dim } = out.colours;
  const bare = tidyCodeText(code);
  const lines = (bare.match(new RegExp(`.{1,${lineCharacters}}`, "g")) ?? []).map((line) => `    ${bold(groupCodeText(line, " "))}`);
  const qr = renderQr(bare, out);
  const grants = grantLines(invite.grants);
  return [
    `an invite for ${invite.name ?? whom[invite.kind]}, ${countOf(invite.usesMax, "use")}, good for ${formatDuration(invite.expiresMs - nowMs)} until ${timeText(invite.expiresMs)} UTC`,
    ...(invite.kind === "person" ? [grants.length === 0 ? "gives no rights yet: grant some later" : `gives ${grants.join(", ")}`] : []),
    "",
    ...lines,
    "",
    ...(qr === undefined ? [] : [qr, ""]),
    `to use it: ${howToUse[invite.kind]} ${code}`,
    dim(`to take it back: collective invite revoke ${invite.id}`),
  ].join("\n");
}

export function renderInvites(
  invites: readonly InviteSummary[],
  { out, nowMs }: { readonly out: Terminal; readonly nowMs: number },
): string {
  if (invites.length === 0) return "no invites yet; make one with: collective invite generate";
  const { colours } = out;
  return renderTable({
    columns: [
      { header: "ID" },
      { header: "FOR", flexible: true },
      { header: "STATE" },
      { header: "USES", align: "right" },
      { header: "EXPIRES" },
      { header: "GIVES", flexible: true },
      { header: "DESCRIPTION", flexible: true },
    ],
    rows: invites.map((invite) => {
      const state = stateOf(invite, nowMs);
      return [
        invite.id,
        invite.name ?? invite.kind,
        { text: state, paint: state === "open" ? colours.good : colours.dim },
        `${invite.uses}/${invite.usesMax}`,
        timeText(invite.expiresMs),
        grantLines(invite.grants).join(", ") || "-",
        printable(invite.description) || "-",
      ];
    }),
    width: out.columns,
    colours,
    unicode: out.unicode,
  });
}

function timeText(timeMs: number): string {
  return formatTime(BigInt(Math.trunc(timeMs)) * 1_000_000n).slice(0, 16);
}
