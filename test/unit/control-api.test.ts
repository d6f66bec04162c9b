/** The control API from outside: real TLS, real certificates, every way of not being entitled. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:http2";
import { decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import { errorBodySchema } from "../../protocol/error-body.ts";
import type { ErrorCode } from "../../protocol/errors.ts";
import { type GlobalName, globalName, parseLocalName, rootInode, type Site, siteOf } from "../../protocol/ids.ts";
import { controlBodyBytesMax, uploadIdleMsMax } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import type { Authority } from "../../src/pki/authority.ts";
import { createCsr } from "../../src/pki/authority.ts";
import { readCertificate } from "../../src/pki/certificate.ts";
import { assembleCredentials, type Credentials } from "../../src/pki/credentials.ts";
import { generateKeyPair } from "../../src/pki/keys.ts";
import { createSigner, signReceipt } from "../../src/pki/ticket.ts";
import { foreignCredentials as foreign, nameAt, startTestMember, type TestMember } from "../support/member.ts";
import { sampleInputs } from "../support/messages.ts";
import { chunkId, createStore, expectCode, failureOf, fileCommit, newUpload } from "../support/metadata.ts";
import { alice, authorityOf, garage, home, hourMs, leafOf, rogueLeaf } from "../support/pki.ts";

let member: TestMember;
let garageAuthority: Authority;
const dora = nameAt("dora");

beforeAll(async () => {
  garageAuthority = await authorityOf(garage);
  member = await startTestMember({ trusted: [garageAuthority.certificatePem] });
});
afterAll(() => member[Symbol.asyncDispose]());

interface Presented {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

interface RawRequest {
  readonly path?: string;
  readonly method?: string;
  readonly body?: Uint8Array;
  readonly protocol?: "http2" | "http1.1";
}

/** As any program could ask, with whatever certificate. */
async function ask(presented: Presented | undefined, request: RawRequest = {}): Promise<{ status: number; code: string; message: string }> {
  const method = request.method ?? "POST";
  const init = {
    method,
    ...(method === "POST" ? { body: request.body ?? encodeMessage({ inode: rootInode }) } : {}),
    headers: { "content-type": "application/msgpack" },
    tls: {
      ca: member.authority.certificatePem,
      serverName: `coordinator.${home}`,
      ...(presented ? { cert: presented.certificatePem, key: presented.privateKeyPem } : {}),
    },
    ...(request.protocol === undefined ? {} : { protocol: request.protocol }),
  };
  const response = await fetch(`https://${member.address}${request.path ?? routes.getAttr.path}`, init as RequestInit);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (response.ok) return { status: response.status, code: "ok", message: "" };
  const { code, message } = decodeMessage(errorBodySchema, bytes, "the error");
  return { status: response.status, code, message };
}

function user(local = "dora"): Promise<Credentials> {
  return member.credentialsOf({ kind: "user", name: nameAt(local) });
}

describe("who is not let in", () => {
  test("has no certificate", async () => {
    for (const protocol of ["http2", "http1.1"] as const) {
      expect(await ask(undefined, { protocol })).toMatchObject({ status: 401, code: "not_authenticated" });
      // Nor does it learn which routes there are.
      expect(await ask(undefined, { protocol, path: "/v1/nothing" })).toMatchObject({ status: 401 });
    }
  });

  test("has one that no trusted authority has signed", async () => {
    const cellar = await authorityOf("cellar.collective.local");
    const eve = await leafOf(cellar, { kind: "user", name: globalName(parseLocalName("eve"), cellar.site) });
    expect(await ask(eve)).toMatchObject({ status: 401, code: "not_authenticated" });
    // An authority that calls itself the member's own is not it.
    const impostor = await leafOf(await authorityOf(home), { kind: "user", name: alice });
    expect(await ask(impostor)).toMatchObject({ status: 401, code: "not_authenticated" });
  });

  test("has one that has expired or is not valid yet", async () => {
    const expired = await leafOf(member.authority, { kind: "user", name: alice }, { nowMs: Date.now() - 2 * hourMs, validityMs: hourMs });
    expect(await ask(expired)).toMatchObject({ status: 401, message: expect.stringContaining("expired") });
    const early = await leafOf(member.authority, { kind: "user", name: alice }, { nowMs: Date.now() + 2 * hourMs });
    expect(await ask(early)).toMatchObject({ status: 401, code: "not_authenticated" });
  });

  test("has one in the member's name from another trusted authority", async () => {
    const names = [
      { type: "url" as const, value: `collective://${home}/user/alice` },
      { type: "dns" as const, value: `alice.user.${home}` },
    ];
    const rogue = await rogueLeaf(garageAuthority, { commonName: alice, names, purposes: ["client"] });
    const answer = await ask(rogue);
    expect(answer).toMatchObject({ status: 401, code: "not_authenticated" });
    expect(answer.message).toContain(garage);
  });

  test("is told so however many requests it makes at once", async () => {
    const own = await foreign(
      member,
      { kind: "user", name: globalName(parseLocalName("eve"), siteOf("owner@cellar.collective.local" as GlobalName)) },
      await authorityOf("cellar.collective.local"),
    );
    const client = member.client(own);
    for (let round = 0; round < 5; round++) {
      const codes = await Promise.all(
        Array.from({ length: 40 }, async () => (await failureOf(client.call(routes.getAttr, { inode: rootInode }))).code),
      );
      expect(new Set(codes)).toEqual(new Set(["not_authenticated"]));
    }
  });

  test("stays out when the certificate expires while the connection is open", async () => {
    const clock = member.clock;
    const own = await user();
    const client = member.client(own);
    expect((await client.call(routes.getAttr, { inode: rootInode })).inode).toBe(rootInode);
    clock.nowMs += 48 * hourMs;
    try {
      // The client says so by itself; somebody who does not care asks on.
      await expectCode("not_authenticated", client.call(routes.getAttr, { inode: rootInode }));
      expect(await ask(own)).toMatchObject({ status: 401 });
    } finally {
      clock.nowMs -= 48 * hourMs;
    }
  });
});

describe("a request", () => {
  test("is answered over HTTP/1.1 and HTTP/2", async () => {
    const own = await user();
    for (const protocol of ["http2", "http1.1"] as const) expect(await ask(own, { protocol })).toMatchObject({ status: 200, code: "ok" });
  });

  test("for what does not exist is unsupported", async () => {
    const own = await user();
    for (const path of ["/", "/v1/nothing", "/v1/fs/attr/", "/v2/fs/attr", "/v1/fs/%2e%2e/attr"])
      expect(await ask(own, { path })).toMatchObject({ status: 501, code: "unsupported" });
    expect(await ask(own, { method: "GET" })).toMatchObject({ status: 501, code: "unsupported" });
  });

  test("that is garbage is refused", async () => {
    const own = await user();
    const bodies = [
      new Uint8Array(0),
      new Uint8Array([0xc1]),
      encodeMessage({ inode: "1" }),
      encodeMessage([1]),
      encodeMessage({ inode: -1 }),
      Buffer.from('{"inode":1}'),
    ];
    for (const body of bodies) expect(await ask(own, { body })).toMatchObject({ status: 400, code: "invalid_argument" });
  });

  test("that is too large is refused, whether it says so or not", async () => {
    const own = await user();
    const huge = new Uint8Array(controlBodyBytesMax + 1);
    for (const protocol of ["http2", "http1.1"] as const)
      expect(await ask(own, { body: huge, protocol })).toMatchObject({ status: 413, code: "too_large" });
    // Without a length it is cut off while it comes.
    const code = await new Promise<string>((resolve, reject) => {
      const session = connect(`https://${member.address}`, {
        ca: member.authority.certificatePem,
        servername: `coordinator.${home}`,
        cert: own.certificatePem,
        key: own.privateKeyPem,
      });
      session.on("error", reject);
      const stream = session.request({ ":method": "POST", ":path": routes.getAttr.path });
      const answer: Buffer[] = [];
      let sent = 0;
      const piece = Buffer.alloc(1 << 20);
      const pump = (): void => {
        while (sent <= controlBodyBytesMax + (1 << 20) && !stream.destroyed) {
          sent += piece.length;
          if (!stream.write(piece)) return void stream.once("drain", pump);
        }
        stream.end();
      };
      stream.on("data", (data: Buffer) => answer.push(data));
      stream.on("error", () => undefined);
      stream.on("close", () => {
        session.destroy();
        const bytes = new Uint8Array(Buffer.concat(answer));
        resolve(bytes.length === 0 ? "closed" : decodeMessage(errorBodySchema, bytes, "the error").code);
      });
      pump();
    });
    expect(code).toBe("too_large");
    expect(await ask(own)).toMatchObject({ status: 200 });
  });

  test("that fails inside tells nothing but that", async () => {
    await using other = await startTestMember({
      wrapHandlers: (handlers) => ({ ...handlers, getAttr: () => Promise.reject(new Error("secret path /home/alice")) }),
    });
    const error = await failureOf(other.client().call(routes.getAttr, { inode: rootInode }));
    expect(error.code).toBe("internal");
    expect(`${error.message} ${JSON.stringify(error.details)}`).not.toContain("secret");
  });
});

describe("certificates", () => {
  test("are renewed for the caller's own identity and key, whatever the request says", async () => {
    const own = await user();
    const { privateKeyPem } = own;
    const csrPem = await createCsr({ privateKeyPem, commonName: "alice" });
    const { certificatePem, authorityPem } = await member.client(own).call(routes.renewCertificate, { csrPem });
    expect(readCertificate(certificatePem).identity).toEqual({ kind: "user", name: dora });
    expect(authorityPem).toBe(member.authority.certificatePem);
    const renewed = assembleCredentials({ certificatePem, privateKeyPem, authorityPem, trustedAuthorityPems: [] });
    expect((await member.client(renewed).call(routes.getAttr, { inode: rootInode })).inode).toBe(rootInode);
    await expectCode("invalid_argument", member.client(own).call(routes.renewCertificate, { csrPem: "not one" }));
    const another = await createCsr({ privateKeyPem: generateKeyPair().privateKeyPem, commonName: "dora" });
    await expectCode("invalid_argument", member.client(own).call(routes.renewCertificate, { csrPem: another }));
  });

  test("are issued by the administrator for names of the own site", async () => {
    const csrPem = await createCsr({ privateKeyPem: generateKeyPair().privateKeyPem, commonName: "x" });
    const issue = (name: string, validityMs?: number) =>
      member.client().call(routes.issueCertificate, { csrPem, kind: "node", name, ...(validityMs === undefined ? {} : { validityMs }) });
    const issued = readCertificate((await issue("node-07", hourMs)).certificatePem);
    expect(issued.identity).toEqual({ kind: "node", name: nameAt("node-07") });
    expect(issued.notAfterMs - member.clock.nowMs).toBeLessThanOrEqual(hourMs);
    expect(readCertificate((await issue(`node-08@${home}`)).certificatePem).identity?.name).toBe(nameAt("node-08"));
    await expectCode("permission_denied", issue(`node-07@${garage}`));
    for (const name of ["", "Node", "coordinator", "a b"]) await expectCode("invalid_argument", issue(name));
    await expectCode("invalid_argument", issue("node-07", 400 * 24 * hourMs));
  });
});

describe("receipts", () => {
  test("count only when the node itself has signed them, for itself and lately", async () => {
    const signer = createSigner(generateKeyPair().privateKeyPem);
    const [one, two] = [nameAt("signing-01"), nameAt("signing-02")];
    for (const name of [one, two]) {
      const publicKeyRaw = name === one ? signer.publicKeyRaw : createSigner(generateKeyPair().privateKeyPem).publicKeyRaw;
      await member.service.directory.record({ name, publicKeyRaw }, { ...sampleInputs.heartbeat, guests: [] });
    }
    const store = await createStore(member.metadata, "receipts");
    const chunk = chunkId("x");
    const receipt = (change: { node?: typeof one; owner?: Site; storedAtMs?: number; by?: typeof signer } = {}) =>
      signReceipt(change.by ?? signer, {
        version: 1,
        node: change.node ?? one,
        owner: change.owner,
        chunks: [chunk],
        storedAtMs: change.storedAtMs ?? member.clock.nowMs,
      });
    const upload = newUpload();
    const client = member.client();
    const chunks = [{ id: chunk, storedBytes: 80, codec: "none" as const }];
    const allocate = (receipts: { node: string; receipt: Uint8Array }[]) =>
      client.call(routes.allocate, { upload, store: store.inode, chunks, exclude: [], receipts });
    expect((await allocate([])).stored).toEqual([0]);
    const forged = receipt({ by: createSigner(generateKeyPair().privateKeyPem) });
    const refused: readonly (readonly [string, Uint8Array, ErrorCode])[] = [
      [one, forged, "not_authenticated"],
      [two, receipt(), "not_authenticated"],
      [one, receipt({ node: two }), "not_authenticated"],
      // The node has the chunk, but for somebody else.
      [one, receipt({ owner: garage }), "not_authenticated"],
      [one, receipt({ storedAtMs: member.clock.nowMs - uploadIdleMsMax - 1 }), "conflict"],
      [nameAt("node-99"), receipt(), "not_found"],
      [one, new Uint8Array(80), "not_authenticated"],
      [one, new Uint8Array(0), "not_authenticated"],
    ];
    const files = [fileCommit({ parent: store.inode, name: "file", pieces: [] })];
    for (const [node, bytes, code] of refused) {
      await expectCode(code, allocate([{ node, receipt: bytes }]));
      await expectCode(code, client.call(routes.commit, { upload, files, receipts: [{ node, receipt: bytes }], last: false }));
    }
    expect((await allocate([])).stored).toEqual([0]);
    expect((await allocate([{ node: one, receipt: receipt() }])).stored).toEqual([1]);
  });
});
