/** Certificates past their dates: what an expired one is still good for, and wrong clocks, which look the same. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { dnsNameOf, type Identity, identityUri, rootInode } from "../../protocol/ids.ts";
import { type RouteName, routes } from "../../protocol/routes.ts";
import { systemClock } from "../../src/core/clock.ts";
import { systemRandom } from "../../src/core/random.ts";
import { clockSkewText } from "../../src/net/clock-skew.ts";
import { createControlClient } from "../../src/net/control-client.ts";
import { startControlServer } from "../../src/net/control-server.ts";
import { createCsr } from "../../src/pki/authority.ts";
import { assembleCredentials, type Credentials } from "../../src/pki/credentials.ts";
import { askControl, type Door, leafInTheNameOf } from "../support/e2e-rogue.ts";
import { foreignCredentials, nameAt, startTestMember, type TestMember } from "../support/member.ts";
import { sampleInputs } from "../support/messages.ts";
import { expectCode } from "../support/metadata.ts";
import { alice, authorityOf, bob, garage, home, hourMs, type Leaf, leafOf, rogueAuthority } from "../support/pki.ts";

const dayMs = 24 * hourMs;
const minuteMs = 60_000;
const dora: Identity = { kind: "user", name: nameAt("dora") };
const routeNames = Object.keys(routes) as RouteName[];

let member: TestMember;
let door: Door;
beforeAll(async () => {
  const garageAuthority = await authorityOf(garage);
  member = await startTestMember({ trusted: [garageAuthority.certificatePem] });
  door = { address: member.address, serverName: `coordinator.${home}`, authorityPem: member.authority.certificatePem };
});
afterAll(() => member[Symbol.asyncDispose]());

/** A leaf that lived for an hour and ended so long ago. */
function ended(identity: Identity, agoMs: number): Promise<Leaf> {
  return leafOf(member.authority, identity, { nowMs: Date.now() - agoMs - hourMs, validityMs: hourMs });
}

async function renewalOf({ privateKeyPem }: { privateKeyPem: string }) {
  return { path: routes.renewCertificate.path, input: { csrPem: await createCsr({ privateKeyPem, commonName: "x" }) } };
}

function owned(leaf: Leaf): Credentials {
  return assembleCredentials({ ...leaf, authorityPem: member.authority.certificatePem, trustedAuthorityPems: [] });
}

describe("a certificate that has expired", () => {
  test("is good for its own renewal and for nothing else, for 90 days", async () => {
    for (const identity of [dora, { kind: "node" as const, name: nameAt("node-01") }]) {
      const leaf = await ended(identity, 7 * dayMs);
      for (const name of routeNames.filter((one) => one !== "renewCertificate")) {
        const answer = await askControl(door, leaf, { path: routes[name].path, input: sampleInputs[name] });
        expect(answer).toMatch(/^not_authenticated: the certificate of .* expired on \d{4}-/);
      }
      expect(await askControl(door, leaf, await renewalOf(leaf))).toStartWith("200 ");
    }
    const [late, tooLate] = [await ended(dora, 89.9 * dayMs), await ended(dora, 90.1 * dayMs)];
    expect(await askControl(door, late, await renewalOf(late))).toStartWith("200 ");
    expect(await askControl(door, tooLate, await renewalOf(tooLate))).toMatch(/^not_authenticated: .*expired on/);
  });

  test("is not good for that when anything else is wrong with it", async () => {
    const times = { notBeforeMs: Date.now() - 3 * dayMs, notAfterMs: Date.now() - dayMs };
    const names = [
      { type: "url" as const, value: identityUri(dora) },
      { type: "dns" as const, value: dnsNameOf(dora) },
    ];
    const impostor = await authorityOf(home);
    const wrong: Record<string, Leaf> = {
      "another authority of the same name": await leafInTheNameOf(impostor, dora, times),
      "an authority that nobody trusts": await leafInTheNameOf(await rogueAuthority({ constraints: { site: home } }), dora, times),
      "names of another site": await leafInTheNameOf(member.authority, dora, {
        ...times,
        names: [...names, { type: "dns", value: `node-01.${garage}` }],
      }),
      "made for another use": await leafInTheNameOf(member.authority, dora, { ...times, purposes: ["server"] }),
      "not valid yet": await leafOf(member.authority, dora, { nowMs: Date.now() + dayMs }),
    };
    for (const [what, leaf] of Object.entries(wrong)) {
      expect(await askControl(door, leaf, await renewalOf(leaf)), what).toMatch(/^not_authenticated: /);
    }
    const guest = await foreignCredentials(member, { kind: "user", name: bob }, await authorityOf(garage));
    expect(await askControl(door, guest, await renewalOf(guest))).toMatch(/^not_authenticated: |^permission_denied: /);
  });
});

describe("a clock that is wrong", () => {
  test("by up to five minutes is nobody's business, by more it is named", () => {
    const texts = [0, 5, -5, 5.1, 12, -12.2, 60 * 50].map((minutes) => clockSkewText(minutes * minuteMs, "the coordinator"));
    const ahead = (amount: string) => `${amount} ahead of the coordinator's`;
    expect(texts).toEqual([undefined, undefined, undefined, ahead("5m"), ahead("12m"), "12m behind the coordinator's", ahead("2d 2h")]);
    expect(clockSkewText(Number.NaN, "the coordinator")).toBeUndefined();
  });

  const offBy = (minutes: number) => ({ ...systemClock, wallMs: () => Date.now() + minutes * minuteMs });
  const clientOf = (own: Credentials, { minutes, address = member.address }: { minutes: number; address?: string }) =>
    createControlClient({
      ...{ address, server: { kind: "coordinator", name: alice }, credentials: () => own, random: systemRandom },
      clock: offBy(minutes),
    });

  test("is named when the coordinator finds the certificate out of date", async () => {
    const early = owned(await leafOf(member.authority, dora, { nowMs: Date.now() + 12 * minuteMs }));
    const error = await expectCode("not_authenticated", clientOf(early, { minutes: 12 }).call(routes.getAttr, { inode: rootInode }));
    expect(error.message).toMatch(/is not valid before .*; the clock of this machine is 12m ahead of the coordinator's$/);
    expect(error.hint).toContain("clock");
    // With clocks that agree it is the certificate.
    const agreeing = await expectCode("not_authenticated", clientOf(early, { minutes: 1 }).call(routes.getAttr, { inode: rootInode }));
    expect(agreeing.message).not.toContain("clock of this machine");
  });

  test("is named when the coordinator's certificate cannot be verified for its dates", async () => {
    const coordinator: Identity = { kind: "coordinator", name: alice };
    const own = await member.credentialsOf(dora);
    for (const [issuedMs, minutes, says] of [
      [Date.now() + hourMs, -20, /is not valid yet; the clock of this machine is 20m behind the coordinator's/],
      [Date.now() - 2 * dayMs, 30, /has expired; the clock of this machine is 30m ahead of the coordinator's/],
    ] as const) {
      const leaf = await leafOf(member.authority, coordinator, { nowMs: issuedMs, validityMs: hourMs });
      const server = await startControlServer({
        ...{ host: "127.0.0.1", port: 0, credentials: owned(leaf), clock: systemClock, admit: () => undefined },
        app: () => ({ fetch: () => new Response("") }),
      });
      const client = clientOf(own, { minutes, address: `127.0.0.1:${server.port}` });
      const error = await expectCode("not_authenticated", client.call(routes.getAttr, { inode: rootInode }));
      expect(error.message).toMatch(says);
      await server.stop();
    }
  });
});
