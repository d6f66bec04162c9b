/** Certificates: renewed, issued, revoked; and the audit trail that says by whom. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, globalName, type Identity, parseLocalName, type Site, siteOf } from "../../protocol/ids.ts";
import type { Enrolment } from "../meta/people.ts";
import type { Caller, ControlHandlers } from "../net/control-app.ts";
import { leafValidityMsMax } from "../pki/authority.ts";
import { readCertificate } from "../pki/certificate.ts";
import { requireAdministrator } from "./access.ts";
import type { CoordinatorService } from "./service.ts";

type CertificateRoutes = "renewCertificate" | "issueCertificate" | "revoke" | "listAudit";

export function createCertificateHandlers(service: CoordinatorService): Pick<ControlHandlers, CertificateRoutes> {
  const { metadata, member } = service;
  return {
    renewCertificate: async ({ csrPem }, { caller }) => {
      if (siteOf(caller.name) !== siteOf(member))
        throw new CollectiveError("permission_denied", `${caller.name} gets its certificates from ${siteOf(caller.name)}`);
      const { publicKeyRaw, ...issued } = await issueCertificate(service, { csrPem, identity: caller });
      if (!sameBytes(publicKeyRaw, caller.publicKeyRaw))
        throw new CollectiveError("invalid_argument", "a certificate is renewed for the key that it has", {
          hint: "for another key ask the administrator for an invite",
        });
      return issued;
    },
    issueCertificate: async ({ csrPem, kind, name, validityMs }, { caller }) => {
      requireAdministrator(caller, member);
      const identity = { kind, name: nameInSite(name, siteOf(member)) };
      const { publicKeyRaw, ...issued } = await issueCertificate(service, { csrPem, identity, validityMs });
      if (kind !== "coordinator") await enrol(service, { kind, name: identity.name, publicKeyRaw }, caller);
      return issued;
    },
    revoke: async ({ who, kind }, { caller }) => {
      requireAdministrator(caller, member);
      const revoked = serialPattern.test(who) ? await revokeSerial(service, who, caller) : await revokeName(service, { who, kind, caller });
      await service.revocations.refresh();
      service.log.info("revoked", { ...revoked, by: caller.name });
      return revoked;
    },
    listAudit: async (page, { caller }) => {
      requireAdministrator(caller, member);
      return { entries: await metadata.listAudit(page) };
    },
  };
}

interface Issued {
  readonly certificatePem: string;
  readonly authorityPem: string;
  readonly publicKeyRaw: Uint8Array;
}

export async function issueCertificate(
  service: CoordinatorService,
  request: { csrPem: string; identity: Identity; validityMs?: number | undefined },
): Promise<Issued> {
  const { csrPem, validityMs = service.certValidityMs } = request;
  const { kind, name } = request.identity;
  if (validityMs > leafValidityMsMax) throw new CollectiveError("invalid_argument", "a certificate lives at most 397 days");
  const certificatePem = await service.certificates.issue({ csrPem, identity: { kind, name }, validityMs });
  const { publicKeyRaw, serial } = readCertificate(certificatePem);
  service.log.info("certificate issued", { kind, name, serial, validityMs });
  return { certificatePem, authorityPem: service.certificates.authorityPem, publicKeyRaw };
}

/** A new key enrols a revoked name again; a key that was revoked stays so. */
async function enrol(service: CoordinatorService, who: Pick<Enrolment, "kind" | "name" | "publicKeyRaw">, by: Caller): Promise<void> {
  const { kind, name, publicKeyRaw } = who;
  const known = (await service.metadata.listEnrolments()).find(
    (one) => one.kind === kind && one.name === name && sameBytes(one.publicKeyRaw, publicKeyRaw),
  );
  if (known !== undefined && known.revokedMs !== null)
    throw new CollectiveError("conflict", `this key of ${name} was revoked on ${new Date(known.revokedMs).toISOString()}`, {
      hint: "make a new key, and ask for a certificate for that",
    });
  if (known) return;
  await service.metadata.enrol({ kind, name, publicKeyRaw }, by.name);
  await service.revocations.refresh();
}

/** As the authority makes them. A name that looks like one has to be written with its site. */
const serialPattern = /^[0-9a-f]{32}$/;

async function revokeSerial({ metadata }: CoordinatorService, serial: string, caller: Caller) {
  if (serial === caller.serial)
    throw new CollectiveError("conflict", "this is the certificate that you are using", {
      hint: "renew it first: collective auth renew",
    });
  await metadata.revokeSerial(serial, caller.name);
  return { kind: "certificate" as const, name: serial };
}

interface NameToRevoke {
  readonly who: string;
  readonly kind: Enrolment["kind"] | undefined;
  readonly caller: Caller;
}

async function revokeName(service: CoordinatorService, { who, kind: given, caller }: NameToRevoke) {
  const name = nameInSite(who, siteOf(service.member));
  const kind = given ?? (await kindOf(service, name));
  if (kind === "user" && name === service.member)
    throw new CollectiveError("conflict", `${name} is the administrator, without whom nobody could be let in again`, {
      hint: "revoke a lost certificate of the administrator by its serial",
    });
  await service.metadata.revokeName({ kind, name }, caller.name);
  return { kind, name };
}

/** By who has joined. Throws `not_found` for nobody, `conflict` for a name that is both a person and a node. */
async function kindOf({ metadata, directory, member }: CoordinatorService, name: GlobalName): Promise<Enrolment["kind"]> {
  const enrolled = (await metadata.listEnrolments()).filter((one) => one.name === name).map((one) => one.kind);
  const isNode = enrolled.includes("node") || directory.list().some((node) => node.name === name);
  const isUser = enrolled.includes("user") || name === member;
  if (isNode && isUser)
    throw new CollectiveError("conflict", `${name} is a person and a node`, { hint: "say which with --kind user or --kind node" });
  if (!isNode && !isUser)
    throw new CollectiveError("not_found", `nobody called ${name} has joined`, {
      hint: "to refuse the name all the same, say whose it is with --kind user or --kind node",
    });
  return isNode ? "node" : "user";
}

/** `dora` or `dora@home.collective.local`, and no other site: an authority speaks for its own alone. */
export function nameInSite(text: string, site: Site): GlobalName {
  const [local, given] = text.split("@", 2);
  if (given !== undefined && given !== site)
    throw new CollectiveError("permission_denied", `the authority of ${site} cannot speak for ${given}`);
  return globalName(parseLocalName(local ?? ""), site);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
