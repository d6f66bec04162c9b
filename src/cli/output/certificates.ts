/** Certificates for people: what they say, and how long they still live. */
import { formatDuration } from "../../core/units.ts";
import { type CertificateInfo, lifeLeft } from "../../pki/certificate.ts";
import type { Colours } from "./colour.ts";
import { formatTime } from "./entries.ts";
import { type Cell, renderFields } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** Below this a certificate is worth a warning: whatever renews by itself has done so by then. */
const lifeLeftMin = 1 / 3;

export interface Expiry {
  readonly expired: boolean;
  readonly notYetValid: boolean;
  readonly leftMs: number;
  /** One line, when somebody should do something. */
  readonly warning: string | undefined;
}

export function expiryOf(info: Pick<CertificateInfo, "notBeforeMs" | "notAfterMs">, nowMs: number): Expiry {
  const leftMs = Math.max(0, info.notAfterMs - nowMs);
  const expired = nowMs > info.notAfterMs;
  const notYetValid = nowMs < info.notBeforeMs;
  const warning = expired
    ? `expired ${formatDuration(nowMs - info.notAfterMs)} ago`
    : notYetValid
      ? `not valid before ${new Date(info.notBeforeMs).toISOString()}`
      : lifeLeft(info, nowMs) < lifeLeftMin
        ? `less than a third of its life is left, ${formatDuration(leftMs)}`
        : undefined;
  return { expired, notYetValid, leftMs, warning };
}

/** `valid for 23h 10m`, in the colour of the danger. */
export function certificateLife(
  info: Pick<CertificateInfo, "notBeforeMs" | "notAfterMs">,
  { nowMs, colours }: { readonly nowMs: number; readonly colours: Colours },
): Cell {
  const { expired, notYetValid, leftMs, warning } = expiryOf(info, nowMs);
  const paint = expired || notYetValid ? colours.bad : warning === undefined ? colours.good : colours.warn;
  return { text: warning ?? `valid for ${formatDuration(leftMs)}`, paint };
}

export interface ShownCertificate {
  readonly file: string;
  readonly certificate: CertificateInfo;
  readonly nowMs: number;
}

export function jsonCertificate({ file, certificate, nowMs }: ShownCertificate): Record<string, unknown> {
  const { expired, leftMs, warning } = expiryOf(certificate, nowMs);
  return {
    file,
    kind: kindOf(certificate),
    name: certificate.identity?.name ?? null,
    site: certificate.site ?? null,
    subject: certificate.subject,
    issuer: certificate.issuer,
    serial: certificate.serial,
    fingerprint: certificate.fingerprintSha256,
    not_before: new Date(certificate.notBeforeMs).toISOString(),
    not_after: new Date(certificate.notAfterMs).toISOString(),
    expired,
    expires_in_s: Math.floor(leftMs / 1000),
    warning: warning ?? null,
  };
}

export function renderCertificate({ file, certificate, nowMs }: ShownCertificate, { colours }: Terminal): string {
  const time = (ms: number): string => `${formatTime(BigInt(ms) * 1_000_000n)} UTC`;
  const fields: [string, Cell][] = [
    ["file", file],
    ["kind", kindOf(certificate)],
    ["name", { text: certificate.identity?.name ?? certificate.subject, paint: colours.bold }],
    ["site", certificate.site ?? "-"],
    ["issuer", certificate.issuer],
    ["serial", certificate.serial],
    ["sha256", certificate.fingerprintSha256],
    ["not before", time(certificate.notBeforeMs)],
    ["not after", time(certificate.notAfterMs)],
    ["state", certificateLife(certificate, { nowMs, colours })],
  ];
  return renderFields({ fields, colours });
}

function kindOf({ identity, isAuthority }: CertificateInfo): string {
  return identity?.kind ?? (isAuthority ? "authority" : "unknown");
}
