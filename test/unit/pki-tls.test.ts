/**
 * What the TLS library itself refuses, with real handshakes: the data path never sees the peer's
 * certificate, so there the name constraints have to be enforced below us.
 */
import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import tls from "node:tls";
import { dnsNameOf, identityUri } from "../../protocol/ids.ts";
import type { Authority } from "../../src/pki/authority.ts";
import { createTrustBundle } from "../../src/pki/trust-bundle.ts";
import { authorityOf, garage, home, hourMs, identityOf, type Leaf, leafOf, rogueAuthority, rogueLeaf } from "../support/pki.ts";

const node = identityOf("node", `node-01@${home}`);
const dora = identityOf("user", `dora@${home}`);
const serverName = dnsNameOf(node);

interface Party {
  readonly leaf: Leaf;
  readonly trusts: readonly string[];
}

interface DataServer extends AsyncDisposable {
  readonly port: number;
}

function dataServer(server: Party): DataServer {
  const listening = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: {
      key: server.leaf.privateKeyPem,
      cert: server.leaf.certificatePem,
      ca: [...server.trusts],
      requestCert: true,
      rejectUnauthorized: true,
    },
    fetch: () => new Response("bytes"),
  });
  return { port: listening.port ?? 0, [Symbol.asyncDispose]: () => listening.stop(true) };
}

/** Answers the body, or the reason for which there was none. */
async function ask(port: number, client: Partial<Party>, name = serverName): Promise<string> {
  const { leaf, trusts = [] } = client;
  try {
    const response = await fetch(`https://127.0.0.1:${port}/`, {
      keepalive: false,
      tls: { serverName: name, ca: [...trusts], ...(leaf && { key: leaf.privateKeyPem, cert: leaf.certificatePem }) },
    });
    return await response.text();
  } catch (error) {
    const code: unknown = error instanceof Error ? Reflect.get(error, "code") : undefined;
    return `refused: ${typeof code === "string" ? code : String(error)}`;
  }
}

async function sites(): Promise<{ homeCa: Authority; garageCa: Authority; bundle: string[] }> {
  const [homeCa, garageCa] = [await authorityOf(home), await authorityOf(garage)];
  return { homeCa, garageCa, bundle: createTrustBundle([homeCa.certificatePem, garageCa.certificatePem]).pems() };
}

describe("the data server (Bun.serve)", () => {
  test("speaks to clients of every trusted site", async () => {
    const { homeCa, garageCa, bundle } = await sites();
    await using server = dataServer({ leaf: await leafOf(homeCa, node), trusts: bundle });
    const trusts = [homeCa.certificatePem];
    expect(await ask(server.port, { leaf: await leafOf(homeCa, dora), trusts })).toBe("bytes");
    expect(await ask(server.port, { leaf: await leafOf(garageCa, identityOf("node", `node-07@${garage}`)), trusts })).toBe("bytes");
  });

  test("refuses clients without a certificate, of unknown authorities, expired and not yet valid", async () => {
    const { homeCa, bundle } = await sites();
    await using server = dataServer({ leaf: await leafOf(homeCa, node), trusts: bundle });
    const trusts = [homeCa.certificatePem];
    const clients: Partial<Party>[] = [
      { trusts },
      { trusts, leaf: await leafOf(await authorityOf(home), dora) },
      { trusts, leaf: await leafOf(await authorityOf("attic.collective.local"), identityOf("user", "dora@attic.collective.local")) },
      { trusts, leaf: await leafOf(homeCa, dora, { nowMs: Date.now() - 2 * hourMs, validityMs: hourMs }) },
      { trusts, leaf: await leafOf(homeCa, dora, { nowMs: Date.now() + 2 * hourMs }) },
    ];
    for (const client of clients) expect(await ask(server.port, client)).toStartWith("refused");
  });

  test("refuses a client in the name of home signed by garage's authority, though both are trusted", async () => {
    const { homeCa, garageCa, bundle } = await sites();
    await using server = dataServer({ leaf: await leafOf(homeCa, node), trusts: bundle });
    const trusts = [homeCa.certificatePem];
    const by = (names: { uri: string; dns: string }) =>
      rogueLeaf(garageCa, {
        names: [
          { type: "url", value: names.uri },
          { type: "dns", value: names.dns },
        ],
        purposes: ["client"],
      });
    const own = { uri: `collective://${garage}/user/eve`, dns: `eve.user.${garage}` };
    // The control: the very same way of making a certificate passes with garage's own names.
    expect(await ask(server.port, { trusts, leaf: await by(own) })).toBe("bytes");
    expect(await ask(server.port, { trusts, leaf: await by({ uri: identityUri(dora), dns: own.dns }) })).toStartWith("refused");
    expect(await ask(server.port, { trusts, leaf: await by({ uri: own.uri, dns: dnsNameOf(dora) }) })).toStartWith("refused");
    expect(await ask(server.port, { trusts, leaf: await by({ uri: `collective://x.${garage}/user/eve`, dns: own.dns }) })).toStartWith(
      "refused",
    );
  });
});

describe("a client (fetch)", () => {
  test("refuses a server in the name of home's node signed by garage's authority", async () => {
    const { homeCa, garageCa, bundle } = await sites();
    const names = [
      { type: "url", value: identityUri(node) },
      { type: "dns", value: serverName },
    ] as const;
    const leaf = await leafOf(homeCa, dora);
    const unbound = await rogueAuthority({ constraints: "none" });
    for (const [authority, trusts] of [
      [garageCa, [homeCa.certificatePem]],
      // Even a client that trusts both: this is the name constraints' work.
      [garageCa, bundle],
      [unbound, bundle],
    ] as const) {
      await using server = dataServer({ leaf: await rogueLeaf(authority, { names }), trusts: [...bundle] });
      expect(await ask(server.port, { leaf, trusts })).toStartWith("refused");
    }
    await using control = dataServer({ leaf: await leafOf(homeCa, node), trusts: bundle });
    expect(await ask(control.port, { leaf, trusts: bundle })).toBe("bytes");
  });

  test("refuses another node's certificate, a user's as a server, and an expired one", async () => {
    const { homeCa } = await sites();
    const trusts = [homeCa.certificatePem];
    const leaf = await leafOf(homeCa, dora);
    await using other = dataServer({ leaf: await leafOf(homeCa, identityOf("node", `node-02@${home}`)), trusts });
    expect(await ask(other.port, { leaf, trusts })).toStartWith("refused");
    await using user = dataServer({ leaf, trusts });
    expect(await ask(user.port, { leaf, trusts }, dnsNameOf(dora))).toStartWith("refused");
    await using expired = dataServer({ leaf: await leafOf(homeCa, node, { nowMs: Date.now() - 2 * hourMs, validityMs: hourMs }), trusts });
    expect(await ask(expired.port, { leaf, trusts })).toStartWith("refused");
  });
});

describe("the control path (node:tls)", () => {
  /** What each end thinks of the other: `authorized` at the server, the peer's DER if the client got through. */
  async function handshake(server: Party, client: Party): Promise<{ server: unknown; client: unknown; peer: Uint8Array | undefined }> {
    const listener = tls.createServer({
      key: server.leaf.privateKeyPem,
      cert: server.leaf.certificatePem,
      ca: [...server.trusts],
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.3",
    });
    let peer: Uint8Array | undefined;
    let refusal: unknown;
    listener.on("secureConnection", (socket) => {
      peer = socket.getPeerX509Certificate()?.raw;
      socket.on("error", () => undefined);
      socket.end("hello");
    });
    listener.on("tlsClientError", (error) => {
      refusal = error;
    });
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    const address = listener.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const socket = tls.connect({
      port,
      host: "127.0.0.1",
      servername: serverName,
      key: client.leaf.privateKeyPem,
      cert: client.leaf.certificatePem,
      ca: [...client.trusts],
    });
    let answer = "";
    let failure: unknown;
    socket.on("data", (data) => {
      answer += data.toString();
    });
    socket.on("error", (error) => {
      failure = error;
    });
    await new Promise<void>((resolve) => socket.on("close", () => resolve()));
    listener.close();
    return { server: peer ? "accepted" : refusal, client: answer === "hello" ? "accepted" : (failure ?? "closed"), peer };
  }

  test("shows the server whose certificate it is", async () => {
    const { homeCa, bundle } = await sites();
    const leaf = await leafOf(homeCa, dora);
    const result = await handshake({ leaf: await leafOf(homeCa, node), trusts: bundle }, { leaf, trusts: [homeCa.certificatePem] });
    expect(result).toMatchObject({ server: "accepted", client: "accepted" });
    expect(createTrustBundle(bundle).identify({ raw: result.peer ?? new Uint8Array() }, Date.now())).toMatchObject(dora);
  });

  test("refuses home's names signed by garage's authority, at both ends", async () => {
    const { homeCa, garageCa, bundle } = await sites();
    const rogueClient = await rogueLeaf(garageCa, { names: [{ type: "url", value: identityUri(dora) }], purposes: ["client"] });
    const asClient = await handshake(
      { leaf: await leafOf(homeCa, node), trusts: bundle },
      { leaf: rogueClient, trusts: [homeCa.certificatePem] },
    );
    expect(asClient.peer).toBeUndefined();
    expect(asClient.client).not.toBe("accepted");
    const rogueServer = await rogueLeaf(garageCa, {
      names: [
        { type: "url", value: identityUri(node) },
        { type: "dns", value: serverName },
      ],
    });
    const asServer = await handshake({ leaf: rogueServer, trusts: bundle }, { leaf: await leafOf(homeCa, dora), trusts: bundle });
    expect(asServer.client).not.toBe("accepted");
  });
});
