/** What whose tickets may allow: every operation, issuer and owner. */
import { expect, test } from "bun:test";
import { parseGlobalName, parseSite, type Site } from "../../protocol/ids.ts";
import { ticketLifetimeMs } from "../../protocol/limits.ts";
import { type Ticket, type TicketOperation, ticketOperations } from "../../protocol/ticket.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { createSigner, createTicketVerifier, signTicket } from "../../src/pki/ticket.ts";
import { assertMayIssue } from "../../src/pki/ticket-rules.ts";
import { expectCode } from "../support/metadata.ts";
import { garage, handClock, home } from "../support/pki.ts";

const shed = parseSite("shed.collective.local");
const owners = [undefined, home, garage, shed] as const;

/** At a node of home: what a ticket of garage may be, and no more. */
const allowedToGarage: readonly string[] = [undefined, garage].flatMap((owner) =>
  ["get", "verify", "delete"].map((one) => `${one} ${owner}`),
);

function isAllowed(ticket: { issuer: Site; owner: Site | undefined; operation: TicketOperation }): boolean {
  try {
    assertMayIssue(ticket, home);
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: "permission_denied" });
    return false;
  }
}

test("the own coordinator's tickets allow everything, a peer's to read, check and delete what is its own", () => {
  const all = owners.flatMap((owner) => ticketOperations.map((operation) => ({ owner, operation })));
  expect(all.filter((one) => !isAllowed({ issuer: home, ...one }))).toEqual([]);
  const granted = all.filter((one) => isAllowed({ issuer: garage, ...one })).map(({ owner, operation }) => `${operation} ${owner}`);
  expect(granted.sort()).toEqual([...allowedToGarage].sort());
});

test("a verifier keeps to it, whatever is signed rightly, the first time and again", async () => {
  const nowMs = Date.UTC(2026, 5, 1);
  const node = parseGlobalName(`node-01@${home}`);
  const signer = createSigner(generateKeyPair().privateKeyPem);
  const { verify } = createTicketVerifier({
    audience: node,
    coordinatorKeyFor: () => signer.publicKeyRaw,
    isWithdrawn: () => false,
    clock: handClock(nowMs),
    cacheEntriesMax: 10,
  });
  const chunk = "ab".repeat(32) as Ticket["chunks"][number];
  for (const owner of owners) {
    for (const operation of ticketOperations) {
      const bytes = signTicket(signer, {
        ...{ version: 1, id: new Uint8Array(16), issuer: garage, owner, audience: node, holder: `dora@${garage}`, operation },
        ...{ chunks: [chunk], bytesMax: 1, notBeforeMs: nowMs, expiresMs: nowMs + ticketLifetimeMs },
      });
      for (let i = 0; i < 2; i++) {
        if (allowedToGarage.includes(`${operation} ${owner}`)) expect(verify(bytes)).toMatchObject({ issuer: garage, operation });
        else await expectCode("permission_denied", () => verify(bytes));
      }
    }
  }
});
