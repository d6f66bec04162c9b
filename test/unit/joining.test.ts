/** Redeeming codes, over real TLS: who gets in, who does not and why, and what a stranger in between learns. */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { bootstrapRoutes } from "../../protocol/bootstrap.ts";
import { encodeMessage } from "../../protocol/codec.ts";
import { CollectiveError, type ErrorCode } from "../../protocol/errors.ts";
import type { InviteCode } from "../../protocol/invite.ts";
import { routes } from "../../protocol/routes.ts";
import { reachedLike } from "../../src/client/redeem.ts";
import { registerCoordinatorMetrics } from "../../src/coordinator/metrics.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { createMetrics } from "../../src/core/metrics.ts";
import { createBootstrapApp } from "../../src/net/bootstrap-app.ts";
import { startBootstrapServer } from "../../src/net/bootstrap-server.ts";
import { readCertificate } from "../../src/pki/certificate.ts";
import { requestedKeyOf } from "../../src/pki/certificate-request.ts";
import { assembleCredentials } from "../../src/pki/credentials.ts";
import { until } from "../support/e2e-commands.ts";
import { altered, bootstrapClient, type InviteWish, inviteTo, type Joiner, joiner } from "../support/joining.ts";
import { loopback, nameAt, startTestMember, type TestMember } from "../support/member.ts";
import { authorityOf, home, identityOf, leafOf, thrownBy } from "../support/pki.ts";

/** From the code to the answer, as a person or node with this key. */
async function redeem(code: InviteCode, who: { readonly name?: string; readonly key?: Joiner } = {}) {
  const { csrPem } = who.key ?? (await joiner());
  const found = await bootstrapClient.find(code);
  return await bootstrapClient.redeem(found, { secret: code.secret, csrPem, suggestedName: "guest", ...(who.name && { name: who.name }) });
}

async function refusal(action: () => Promise<unknown>): Promise<[ErrorCode, string]> {
  const error = await thrownBy(action);
  if (!(error instanceof CollectiveError)) throw error;
  return [error.code, error.message];
}

/** `/shared/films` and what is granted on it. */
async function withShared(member: TestMember): Promise<InviteWish> {
  await member.metadata.makeDirectories([{ parent: 1 as never, name: "shared", mode: 0o755 }], { existing: "keep", owner: member.member });
  return { grants: [{ components: ["shared"], rights: ["write", "read"] }] };
}

describe("a code that is good", () => {
  test("gives a certificate for the key that was made here, the address, and the rights", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member, await withShared(member));
    const key = await joiner();
    const answer = await redeem(code, { name: "dora", key });
    expect(answer).toMatchObject({
      member: member.member,
      coordinators: [member.address],
      grants: [{ path: "/shared", rights: ["read", "write"] }],
    });
    const credentials = assembleCredentials({
      ...{ certificatePem: answer.certificatePem, privateKeyPem: key.privateKeyPem },
      ...{ authorityPem: member.authority.certificatePem, trustedAuthorityPems: [] },
    });
    expect(credentials.identity).toEqual(identityOf("user", `dora@${home}`));
    await member.client(credentials).call(routes.status, {});
    expect(await member.metadata.listGrants()).toMatchObject([{ subject: `dora@${home}`, path: "/shared", grantedBy: member.member }]);
    expect((await member.metadata.listAudit({ limit: 10 })).map(({ action, actor }) => `${action} by ${actor}`)).toEqual([
      `access.granted by ${member.member}`,
      `person.joined by invite ${code.id}`,
      `invite.created by ${member.member}`,
      `store.created by ${member.member}`,
    ]);
    expect(member.service.redemptions).toEqual({ redeemed: 1, refused: 0, limited: 0 });
  });

  test("adds to what an earlier code gave, and takes nothing away", async () => {
    await using member = await startTestMember();
    const { grants = [] } = await withShared(member);
    const key = await joiner();
    await redeem(await inviteTo(member, { grants }), { name: "dora", key });
    const second = await inviteTo(member, {
      grants: (["read", "share"] as const).map((right) => ({ components: ["shared"], rights: [right] })),
    });
    expect((await redeem(second, { name: "dora", key })).grants).toEqual([{ path: "/shared", rights: ["read", "share"] }]);
    expect((await member.metadata.listGrants()).map(({ rights }) => rights)).toEqual([["read", "write", "share"]]);
  });

  test("makes a node of whoever holds a code for a node", async () => {
    await using member = await startTestMember();
    const { certificatePem } = await redeem(await inviteTo(member, { kind: "node" }), { name: "node-07" });
    expect(readCertificate(certificatePem).identity).toEqual(identityOf("node", `node-07@${home}`));
  });

  test("answers the same key again, even when it is used up by then, and takes no second use", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member);
    const key = await joiner();
    for (let time = 0; time < 3; time++) await redeem(code, { name: "dora", key });
    expect((await member.client().call(routes.listInvites, {})).invites).toMatchObject([{ uses: 1 }]);
  });

  test("lets exactly as many in as it says, of a thousand who come at once", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member, { usesMax: 10 });
    const found = await bootstrapClient.find(code);
    const keys = await Promise.all(Array.from({ length: 1_000 }, joiner));
    const startedMs = performance.now();
    const outcomes = await Promise.all(
      keys.map(({ csrPem }, index) =>
        bootstrapClient.redeem(found, { secret: code.secret, csrPem, name: `guest-${index}` }).then(
          ({ certificatePem }) => readCertificate(certificatePem).identity?.name ?? "nobody",
          (error: CollectiveError) => `${error.code}: ${error.message}`,
        ),
      ),
    );
    const tookMs = Math.round(performance.now() - startedMs);
    const joined = outcomes.filter((outcome) => outcome.startsWith("guest-"));
    expect(new Set(joined).size).toBe(10);
    expect(new Set(outcomes.filter((outcome) => !joined.includes(outcome)))).toEqual(
      new Set(["permission_denied: this code has been used up"]),
    );
    expect(member.service.redemptions).toEqual({ redeemed: 10, refused: 990, limited: 0 });
    expect((await member.metadata.listEnrolments()).map(({ name }) => name).sort()).toEqual(joined.sort() as never);
    expect(tookMs).toBeLessThan(30_000);
  }, 60_000);
});

describe("a code that is not good any more says why:", () => {
  test("used up, revoked, expired, of a collective that does not know it", async () => {
    await using member = await startTestMember();
    const used = await inviteTo(member);
    await redeem(used);
    expect(await refusal(() => redeem(used))).toEqual(["permission_denied", "this code has been used up"]);

    const revoked = await inviteTo(member);
    await member.client().call(routes.revokeInvite, { invite: { id: revoked.id } });
    expect(await refusal(() => redeem(revoked))).toEqual(["permission_denied", "this code was revoked"]);

    const unknown = altered(used, { secret: new Uint8Array(16) });
    expect(await refusal(() => redeem(unknown))).toEqual(["not_found", "this code is not one of alice@home.collective.local's"]);

    const expired = await inviteTo(member, { validityMs: 60_000 });
    member.clock.nowMs += 60_000;
    const [code, message] = await refusal(() => redeem(expired));
    expect([code, message]).toEqual(["permission_denied", expect.stringMatching(/^this code expired on 20/)]);
    expect(member.service.redemptions).toEqual({ redeemed: 1, refused: 4, limited: 0 });
  });

  test("what it gives is gone: then it takes no use, and works again when that is settled", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member, await withShared(member));
    await member.metadata.remove({ parent: 1 as never, name: "shared" }, "tree", { by: "dora" });
    expect(await refusal(() => redeem(code))).toEqual(["not_found", "a directory that this code gives rights on no longer exists"]);
    expect((await member.client().call(routes.listInvites, {})).invites).toMatchObject([{ uses: 0, grants: [{ path: null }] }]);
    expect(await member.metadata.listEnrolments()).toEqual([]);
  });

  test("a request that is no request takes no use either", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member);
    const found = await bootstrapClient.find(code);
    const { csrPem } = await joiner();
    for (const bad of ["", "hello", `${csrPem.slice(0, 80)}AAAAA${csrPem.slice(85)}`])
      expect((await refusal(() => bootstrapClient.redeem(found, { secret: code.secret, csrPem: bad, name: "dora" })))[0]).toBe(
        "invalid_argument",
      );
    await redeem(code);
  });
});

describe("names", () => {
  test("that are taken are not had by a code for anybody: the administrator's, another's, one that was revoked, a node's", async () => {
    await using member = await startTestMember();
    await member.startNode("node-01");
    const code = await inviteTo(member, { usesMax: 10 });
    await redeem(code, { name: "dora" });
    const { certificatePem } = await member
      .client()
      .call(routes.issueCertificate, { kind: "user", name: "zoe", csrPem: (await joiner()).csrPem });
    expect(readCertificate(certificatePem).identity?.name).toBe(nameAt("zoe"));
    await redeem(code, { name: "eve" });
    await member.metadata.revokeName({ kind: "user", name: nameAt("eve") }, member.member);
    for (const name of ["alice", "dora", "zoe", "eve"])
      expect(await refusal(() => redeem(code, { name }))).toEqual(["conflict", `the name ${name}@${home} is taken`]);
    const node = await inviteTo(member, { kind: "node" });
    expect(await refusal(() => redeem(node, { name: "node-01" }))).toEqual(["conflict", `the name node-01@${home} is taken`]);
  });

  test("of another site, or that are none, are refused", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member);
    expect((await refusal(() => redeem(code, { name: "dora@garage.collective.local" })))[0]).toBe("permission_denied");
    expect((await refusal(() => redeem(code, { name: "Dora Ø" })))[0]).toBe("invalid_argument");
    expect((await refusal(() => redeem(code, { name: "coordinator" })))[0]).toBe("invalid_argument");
  });

  test("may get another key by a code that was made for them, and by nobody else's", async () => {
    await using member = await startTestMember();
    await redeem(await inviteTo(member), { name: "dora" });
    const code = await inviteTo(member, { name: "dora" });
    expect(await refusal(() => redeem(code, { name: "eve" }))).toEqual(["conflict", `this code is for dora@${home}, not for eve@${home}`]);
    const { certificatePem } = await redeem(code);
    expect(readCertificate(certificatePem).identity?.name).toBe(nameAt("dora"));
  });
});

describe("somebody in between", () => {
  /** Answers like a coordinator, with a certificate of its own authority, and remembers all it was sent. */
  async function rogue(claimed: string) {
    const authority = await authorityOf(home);
    const leaf = await leafOf(authority, identityOf("coordinator", `alice@${home}`));
    const heard: { readonly path: string; readonly body: Buffer }[] = [];
    const server = Bun.serve({
      hostname: loopback,
      port: 0,
      tls: { cert: leaf.certificatePem, key: leaf.privateKeyPem },
      fetch: async (request) => {
        heard.push({ path: new URL(request.url).pathname, body: Buffer.from(await request.arrayBuffer()) });
        return new Response(encodeMessage({ authorityPem: claimed === "own" ? authority.certificatePem : claimed }));
      },
    });
    return { port: server.port ?? 0, heard, [Symbol.asyncDispose]: () => server.stop(true) };
  }

  test("with a valid certificate of another authority of the same site hears nothing but that somebody asks", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member);
    await using server = await rogue("own");
    const [error, message] = await refusal(() => redeem(altered(code, { addresses: [{ host: loopback, port: server.port }] })));
    expect([error, message]).toEqual(["not_authenticated", expect.stringMatching(/is not the collective that the code is for/)]);
    expect(server.heard.map(({ path }) => path)).toEqual([bootstrapRoutes.authority.path]);
  });

  test("who shows the right authority, which is no secret, is refused before the secret is sent", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member);
    await using server = await rogue(member.authority.certificatePem);
    const key = await joiner();
    const [error, message] = await refusal(() => redeem(altered(code, { addresses: [{ host: loopback, port: server.port }] }), { key }));
    expect([error, message]).toEqual(["not_authenticated", expect.stringMatching(/is not who it should be/)]);
    expect(server.heard.map(({ path }) => path)).toEqual([bootstrapRoutes.authority.path]);
    for (const { body } of server.heard) expect(body.includes(Buffer.from(code.secret)) || body.includes(key.publicKeyRaw)).toBe(false);
    expect(member.service.redemptions).toEqual({ redeemed: 0, refused: 0, limited: 0 });
  });

  test("who answers without end, with nonsense or with a redirection is no collective", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member);
    const leaf = await leafOf(await authorityOf(home), identityOf("coordinator", `alice@${home}`));
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) });
    const answers = [
      new Response(endless),
      new Response("hello"),
      new Response(null, { status: 307, headers: { location: "https://example.org/" } }),
    ];
    using server = Bun.serve({
      ...{ hostname: loopback, port: 0, tls: { cert: leaf.certificatePem, key: leaf.privateKeyPem } },
      fetch: () => answers.pop() ?? new Response("no", { status: 418 }),
    });
    const wrong = altered(code, { addresses: [{ host: loopback, port: server.port ?? 0 }] });
    for (let answer = 0; answer < 4; answer++) expect((await refusal(() => redeem(wrong)))[0]).toBe("unavailable");
  });

  test("does not keep the joiner from the next address of the code", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member);
    await using server = await rogue("own");
    const addresses = [{ host: loopback, port: 1 }, { host: loopback, port: server.port }, ...code.addresses];
    expect((await redeem(altered(code, { addresses }))).member).toBe(member.member);
    expect(await refusal(() => redeem(altered(code, { addresses: [{ host: loopback, port: 1 }] })))).toEqual([
      "unavailable",
      "cannot reach the collective at 127.0.0.1:1: connection refused",
    ]);
  });
});

describe("the bootstrap port", () => {
  test("looks at no more secrets from where too many wrong ones came, and at good ones again later", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member, { usesMax: 5 });
    const guess = (byte: number) => redeem(altered(code, { secret: new Uint8Array(16).fill(byte) }));
    for (let byte = 0; byte < 10; byte++) expect((await refusal(() => guess(byte)))[0]).toBe("not_found");
    expect(await refusal(() => guess(11))).toEqual(["rate_limited", "too many wrong invite codes were tried"]);
    expect((await refusal(() => redeem(code)))[0]).toBe("rate_limited");
    const metrics = createMetrics();
    registerCoordinatorMetrics(metrics, member.service);
    const lines = [...(await metrics.text()).matchAll(/^collective_invite_attempts_total\{result="(\w+)".*\} (\d+)$/gm)];
    expect(Object.fromEntries(lines.map(([, result, value]) => [result, Number(value)]))).toEqual({ redeemed: 0, refused: 10, limited: 2 });
    member.clock.nowMs += 6_000;
    await redeem(code);
  });

  test("serves nothing else, and no large bodies", async () => {
    await using member = await startTestMember();
    const ask = async (path: string, body: Uint8Array<ArrayBuffer> | string) => {
      const tls = { ca: member.authority.certificatePem, serverName: `coordinator.${home}` };
      const response = await fetch(`https://${member.service.bootstrapAddress}${path}`, { method: "POST", body, tls });
      return response.status;
    };
    expect(await ask("/v1/fs/list", encodeMessage({ inode: 1, limit: 10 }))).toBe(501);
    expect(await ask(bootstrapRoutes.redeem.path, new Uint8Array(20_000))).toBe(413);
    expect(await ask(bootstrapRoutes.redeem.path, "nonsense")).toBe(400);
    expect(await ask(bootstrapRoutes.redeem.path, encodeMessage({ secret: new Uint8Array(3), csrPem: "" }))).toBe(400);
  });

  test("ends connections that do nothing, and takes no more than it should from one address", async () => {
    await using member = await startTestMember();
    const nobody = () => Promise.reject();
    const limits = { connectionsMax: 3, connectionsPerAddressMax: 2, connectionLifeMs: 400 };
    const server = await startBootstrapServer({
      ...{ host: loopback, port: 0, credentials: member.credentials, clock: systemClock, limits },
      app: (sourceOf) => createBootstrapApp({ handlers: { authority: nobody, redeem: nobody, peer: nobody }, sourceOf, log: silentLog }),
    });
    const endings: number[] = [];
    const startedMs = performance.now();
    const idle = Array.from({ length: 4 }, () =>
      connect({ host: loopback, port: server.port })
        .on("error", () => undefined)
        .on("close", () => endings.push(performance.now() - startedMs)),
    );
    await until(
      () => endings.length,
      (count) => count === 4,
      { timeoutMs: 5_000 },
    );
    expect(endings.filter((ms) => ms < 300).length).toBe(2);
    for (const socket of idle) socket.destroy();
    await server.stop();
  });

  test("shows the new certificate after a renewal", async () => {
    await using member = await startTestMember();
    const code = await inviteTo(member);
    const { bootstrap } = member;
    const stranger = await authorityOf(home);
    bootstrap.reload(await strangeCredentials(stranger));
    expect((await refusal(() => redeem(code)))[0]).toBe("not_authenticated");
    bootstrap.reload(member.credentials);
    await redeem(code);
  });
});

async function strangeCredentials(authority: Awaited<ReturnType<typeof authorityOf>>) {
  const { certificatePem, privateKeyPem } = await leafOf(authority, identityOf("coordinator", `alice@${home}`));
  return assembleCredentials({ certificatePem, privateKeyPem, authorityPem: authority.certificatePem, trustedAuthorityPems: [] });
}

describe("making invites", () => {
  test("is for the administrator alone", async () => {
    await using member = await startTestMember();
    const plain = { kind: "person" as const, grants: [], usesMax: 1, validityMs: 86_400_000, description: "" };
    for (const identity of [identityOf("user", `dora@${home}`), identityOf("node", `node-01@${home}`)]) {
      const client = member.client(await member.credentialsOf(identity));
      expect((await refusal(() => client.call(routes.createInvite, plain)))[0]).toBe("permission_denied");
      expect((await refusal(() => client.call(routes.listInvites, {})))[0]).toBe("permission_denied");
      expect((await refusal(() => client.call(routes.revokeInvite, { invite: { id: "x" } })))[0]).toBe("permission_denied");
    }
  });

  test("refuses what cannot be granted", async () => {
    await using member = await startTestMember();
    const make = (components: string[], kind: "person" | "node" = "person") =>
      refusal(() => inviteTo(member, { kind, grants: [{ components, rights: ["read"] }] }));
    expect(await make([])).toEqual(["invalid_argument", "rights are granted on a datastore or a directory in one"]);
    expect(await make(["nope"])).toEqual(["not_found", "there is no /nope"]);
    expect((await make(["nope"], "node"))[0]).toBe("invalid_argument");
    expect((await refusal(() => inviteTo(member, { name: "dora@garage.collective.local" })))[0]).toBe("permission_denied");
    expect((await refusal(() => inviteTo(member, { addresses: ["0.0.0.0:9001"] })))[0]).toBe("invalid_argument");
  });
});

test.each([
  ["nas.home:9001", "127.0.0.1:8001", "nas.home:8001"],
  ["[fd00::5]:9001", "localhost:8001", "[fd00::5]:8001"],
  ["nas.home:9001", "192.168.1.5:8001", "192.168.1.5:8001"],
  ["127.0.0.1:9001", "127.0.0.1:8001", "127.0.0.1:8001"],
])("of a coordinator found at %s, %s is %s", (foundAt, told, meant) => {
  expect(reachedLike(foundAt, told)).toBe(meant);
});

test("the key of a certificate request is read only from one that its own key has signed", async () => {
  const { csrPem, publicKeyRaw } = await joiner();
  expect(requestedKeyOf(csrPem)).toEqual(publicKeyRaw);
  const der = Buffer.from(csrPem.replace(/-----.*-----/g, ""), "base64");
  for (let bit = 0; bit < der.length * 8; bit++) {
    const spoiled = Buffer.from(der);
    spoiled[bit >> 3] = (spoiled[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${spoiled.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
    const read = await thrownBy(() => requestedKeyOf(pem)).catch(() => "read");
    if (!(read instanceof CollectiveError)) expect({ bit, read }).toEqual({ bit, read: "an error" });
  }
});
