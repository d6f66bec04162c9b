/** The life of certificates with real processes: renewed while in use, back after a long sleep, revoked. */
import { describe, expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Identity } from "../../protocol/ids.ts";
import { createCsr } from "../../src/pki/authority.ts";
import { loadAuthorityDir } from "../../src/pki/authority-folder.ts";
import { readCertificate } from "../../src/pki/certificate.ts";
import { certifyNode, expectFailure, startCertifiedNode, startNode, succeed, succeedJson, until } from "../support/e2e-commands.ts";
import { bytesOf } from "../support/e2e-files.ts";
import { shortLeaves } from "../support/e2e-short-leaves.ts";
import { hourMs, identityOf } from "../support/pki.ts";
import { type Collective, startCollective } from "../support/process.ts";

const dayMs = 24 * hourMs;

test("reads and writes go on without one failure while every certificate is renewed", async () => {
  // Two thirds of the life, and a little more.
  const { failures, renewals, commands } = await shortLeaves({ seed: 1, seconds: 26, validitySeconds: 30 });
  expect(failures).toEqual([]);
  expect(Math.min(...Object.values(renewals)), JSON.stringify(renewals)).toBeGreaterThanOrEqual(1);
  expect(commands).toBeGreaterThan(10);
});

/** Puts the certificate back to one that ended some time ago, for the same key. */
async function age(
  collective: Collective,
  { folder, identity, agoMs }: { folder: string; identity: Identity; agoMs: number },
): Promise<void> {
  const authority = await loadAuthorityDir(join(collective.coordinator.dataDirectory, "authority"));
  const csrPem = await createCsr({ privateKeyPem: readFileSync(join(folder, "key.pem"), "utf8"), commonName: identity.name });
  const pem = await authority.issue({ csrPem, identity, validityMs: dayMs, nowMs: Date.now() - agoMs - dayMs });
  writeFileSync(join(folder, "cert.pem"), pem);
}

function lifeLeftMs(folder: string): number {
  return readCertificate(readFileSync(join(folder, "cert.pem"), "utf8")).notAfterMs - Date.now();
}

describe("after a week of sleep", () => {
  test("coordinator, node and client are back by themselves", async () => {
    await using collective = await startCollective({ nodes: 0 });
    const node = join(collective.home.path, "node-01", "credentials");
    await certifyNode(collective, "node-01");
    await using first = await startCertifiedNode(collective, "node-01");
    await succeed(collective, ["mkdir", "/s"]);
    await succeed(collective, ["write", "/s/file"], { stdin: "content" });
    await first.stop();
    await collective.coordinator.process.stop();
    const coordinator = join(collective.coordinator.dataDirectory, "credentials");
    const client = join(collective.env.COLLECTIVE_HOME ?? "", "certificates", "alice");
    await age(collective, { folder: coordinator, identity: identityOf("coordinator", "alice@home.collective.local"), agoMs: 7 * dayMs });
    await age(collective, { folder: node, identity: identityOf("node", "node-01@home.collective.local"), agoMs: 7 * dayMs });

    await collective.restart("coordinator");
    await age(collective, { folder: client, identity: identityOf("user", "alice@home.collective.local"), agoMs: 7 * dayMs });
    await using second = await startCertifiedNode(collective, "node-01");
    const read = await succeed(collective, ["read", "/s/file"]);
    expect({ stdout: read.stdout, stderr: read.stderr }).toEqual({ stdout: "content", stderr: "" });
    for (const folder of [coordinator, node, client]) expect(lifeLeftMs(folder)).toBeGreaterThan(23 * hourMs);
    expect(await second.stop()).toBe(0);
  });

  test("a collective that was made anew takes no old key over", async () => {
    await using collective = await startCollective({ nodes: 0 });
    const client = join(collective.env.COLLECTIVE_HOME ?? "", "certificates", "alice");
    const keyBefore = readFileSync(join(client, "key.pem"), "utf8");
    await age(collective, { folder: client, identity: identityOf("user", "alice@home.collective.local"), agoMs: dayMs });
    await collective.coordinator.process.stop();
    rmSync(collective.coordinator.dataDirectory, { recursive: true });
    await collective.restart("coordinator");
    await succeed(collective, ["ls", "/"]);
    expect(readFileSync(join(client, "key.pem"), "utf8")).not.toBe(keyBefore);
  });

  test("of more than 90 days a client is told what to do", async () => {
    await using collective = await startCollective({ nodes: 0 });
    const client = join(collective.env.COLLECTIVE_HOME ?? "", "certificates", "alice");
    await age(collective, { folder: client, identity: identityOf("user", "alice@home.collective.local"), agoMs: 91 * dayMs });
    const refused = await collective.run(["ls", "/"]);
    expectFailure(refused, { code: "not_authenticated", says: /certificate of alice@home\.collective\.local expired on \d{4}-/ });
    expect(refused.stderr).toContain("new invite");
  });
});

test("a node that is revoked says so in one line and is no part of the collective any more, after a restart too", async () => {
  await using collective = await startCollective({ nodes: 2 });
  await succeed(collective, ["mkdir", "/s"]);
  await succeed(collective, ["write", "/s/file"], { stdin: new Blob([bytesOf("file", 3_000_000)]) });
  await using third = await startNode(collective, { name: "node-03", dataDirectory: join(collective.home.path, "node-03") });
  expect((await succeed(collective, ["auth", "revoke", "node-03"])).stdout).toBe("revoked the node node-03@home.collective.local\n");
  const complaints = () =>
    third
      .stderr()
      .split("\n")
      .filter((line) => line.includes("was revoked on"));
  await until(complaints, (lines) => lines.length > 0);
  const states = async (): Promise<Record<string, string>> => {
    const { local_nodes } = (await succeedJson(collective, ["status"])) as { local_nodes: { id: string; state: string }[] };
    return Object.fromEntries(local_nodes.map(({ id, state }) => [id.split("@")[0], state]));
  };
  expect(await states()).toEqual({ "node-01": "alive", "node-02": "alive", "node-03": "dead" });
  await collective.restart("coordinator");
  await until(states, (found) => found["node-01"] === "alive" && found["node-02"] === "alive");
  expect((await states())["node-03"]).toBe("dead");
  await succeed(collective, ["write", "/s/more"], { stdin: new Blob([bytesOf("more", 3_000_000)]) });
  expect((await succeed(collective, ["read", "/s/file"])).stdoutBytes.length).toBe(3_000_000);
  expect(complaints()).toHaveLength(1);
  expect(await third.stop()).toBe(0);
});
