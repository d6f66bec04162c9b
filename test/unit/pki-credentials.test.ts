import { describe, expect, test } from "bun:test";
import { copyFile, cp, mkdir, readdir, readFile, rename, rm, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Identity } from "../../protocol/ids.ts";
import { createLog, type Log } from "../../src/core/log.ts";
import { type Authority, createAuthority } from "../../src/pki/authority.ts";
import { loadAuthorityDir, saveAuthority } from "../../src/pki/authority-folder.ts";
import {
  type Credentials,
  enrolFromAuthorityDir,
  loadCredentials,
  saveCredentials,
  saveTrustedAuthority,
  watchCredentials,
} from "../../src/pki/credentials.ts";
import {
  alice,
  authorityOf,
  garage,
  handClock,
  home,
  hourMs,
  identityOf,
  leafOf,
  type TestFolder,
  testFolder,
  thrownBy,
} from "../support/pki.ts";

const node = identityOf("node", `node-01@${home}`);

interface Scene extends AsyncDisposable {
  readonly folder: TestFolder;
  readonly authority: Authority;
  readonly authorityDir: string;
  readonly dir: string;
  enrol(options?: { newKey?: boolean; identity?: Identity }): Promise<Credentials>;
}

async function scene(): Promise<Scene> {
  const folder = await testFolder();
  const clock = handClock();
  const authority = await createAuthority({ site: home, member: alice, clock });
  const [authorityDir, dir] = [join(folder.path, "ca"), join(folder.path, "credentials")];
  await saveAuthority(authorityDir, authority);
  return {
    folder,
    authority,
    authorityDir,
    dir,
    enrol: ({ newKey = false, identity = node } = {}) =>
      enrolFromAuthorityDir({ authorityDir, credentialsDir: dir, identity, validityMs: 24 * hourMs, clock, newKey }),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

function recordingLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  return { lines, log: createLog({ level: "debug", format: "json", write: (line) => lines.push(line), wallMs: () => 0 }) };
}

describe("an authority's folder", () => {
  test("keeps the key private and the authority usable", async () => {
    await using s = await scene();
    expect((await stat(join(s.authorityDir, "ca.key"))).mode & 0o777).toBe(0o600);
    expect((await stat(s.authorityDir)).mode & 0o777).toBe(0o700);
    expect((await loadAuthorityDir(s.authorityDir)).certificatePem).toBe(s.authority.certificatePem);
  });

  test("is never overwritten, and a key without a certificate is no authority", async () => {
    await using s = await scene();
    const other = await authorityOf(home);
    expect(await thrownBy(() => saveAuthority(s.authorityDir, other))).toMatchObject({ code: "already_exists" });
    expect((await loadAuthorityDir(s.authorityDir)).certificatePem).toBe(s.authority.certificatePem);
    await unlink(join(s.authorityDir, "ca.pem"));
    expect(await thrownBy(() => loadAuthorityDir(s.authorityDir))).toMatchObject({ code: "not_found" });
    await saveAuthority(s.authorityDir, other);
    expect((await loadAuthorityDir(s.authorityDir)).certificatePem).toBe(other.certificatePem);
    await unlink(join(s.authorityDir, "ca.key"));
    expect(await thrownBy(() => loadAuthorityDir(s.authorityDir))).toMatchObject({ code: "configuration" });
  });
});

describe("credentials", () => {
  test("are enrolled, saved and loaded", async () => {
    await using s = await scene();
    const enrolled = await s.enrol();
    const loaded = await loadCredentials(s.dir);
    expect(loaded.identity).toEqual(node);
    expect(loaded.certificatePem).toBe(enrolled.certificatePem);
    expect(loaded.authorityPem).toBe(s.authority.certificatePem);
    expect(loaded.trust.identify({ pem: loaded.certificatePem }, Date.now())).toMatchObject(node);
    expect((await stat(join(s.dir, "key.pem"))).mode & 0o777).toBe(0o600);
    expect((await readdir(s.dir)).sort()).toEqual(["ca.pem", "cert.pem", "key.pem"]);
  });

  test("keep their key when renewed, unless a new one is asked for or they are somebody else's", async () => {
    await using s = await scene();
    const first = await s.enrol();
    const second = await s.enrol();
    expect(second.privateKeyPem).toBe(first.privateKeyPem);
    expect(second.info.serial).not.toBe(first.info.serial);
    const third = await s.enrol({ newKey: true });
    expect(third.privateKeyPem).not.toBe(first.privateKeyPem);
    const fourth = await s.enrol({ identity: identityOf("user", `dora@${home}`) });
    expect(fourth.privateKeyPem).not.toBe(third.privateKeyPem);
    expect((await readdir(s.dir)).sort()).toEqual(["ca.pem", "cert.pem", "key.pem"]);
  });

  test("that expired still load, for they must be renewable", async () => {
    await using s = await scene();
    const leaf = await leafOf(s.authority, node, { nowMs: Date.now() - 48 * hourMs, validityMs: hourMs });
    const loaded = await saveCredentials(s.dir, { ...leaf, authorityPem: s.authority.certificatePem });
    expect(loaded.info.notAfterMs).toBeLessThan(Date.now());
  });

  test("that do not fit are refused before anything is written", async () => {
    await using s = await scene();
    const before = await s.enrol();
    const other = await authorityOf(home);
    const leaf = await leafOf(s.authority, node);
    const bad = [
      { ...leaf, privateKeyPem: before.privateKeyPem, authorityPem: s.authority.certificatePem },
      { ...leaf, authorityPem: other.certificatePem },
      { ...leaf, authorityPem: (await authorityOf(garage)).certificatePem },
      { ...leaf, certificatePem: s.authority.certificatePem, authorityPem: s.authority.certificatePem },
      { ...leaf, authorityPem: s.authority.certificatePem, trustedAuthorityPems: [other.certificatePem] },
      { ...leaf, certificatePem: "junk", authorityPem: s.authority.certificatePem },
    ];
    for (const parts of bad)
      expect(await thrownBy(() => saveCredentials(s.dir, parts))).toMatchObject({ name: "CollectiveError", code: "configuration" });
    expect((await loadCredentials(s.dir)).revision).toBe(before.revision);
  });

  test("missing or damaged say what is wrong", async () => {
    await using s = await scene();
    expect(await thrownBy(() => loadCredentials(join(s.folder.path, "none")))).toMatchObject({ code: "not_found" });
    await s.enrol();
    for (const [file, code] of [
      ["key.pem", "configuration"],
      ["ca.pem", "configuration"],
      ["cert.pem", "not_found"],
    ] as const) {
      const path = join(s.dir, file);
      const whole = await readFile(path, "utf8");
      await writeFile(path, whole.slice(0, 60));
      expect(await thrownBy(() => loadCredentials(s.dir))).toMatchObject({ name: "CollectiveError", code: "configuration" });
      await unlink(path);
      expect(await thrownBy(() => loadCredentials(s.dir))).toMatchObject({ name: "CollectiveError", code });
      await writeFile(path, whole);
    }
    await loadCredentials(s.dir);
  });
});

describe("a crash while credentials change", () => {
  /** The folder as it is after each step of going from `old` to `next`, in the order of the steps. */
  async function statesBetween(s: Scene, old: string, next: string): Promise<string[]> {
    const states: string[] = [];
    const at = join(s.folder.path, "state");
    const keep = async () => {
      const copy = join(s.folder.path, `state-${states.length}`);
      await cp(at, copy, { recursive: true });
      states.push(copy);
    };
    await cp(old, at, { recursive: true });
    await keep();
    await copyFile(join(next, "key.pem"), join(at, "key.next.pem"));
    await keep();
    await copyFile(join(next, "ca.pem"), join(at, "ca.next.pem"));
    await keep();
    await copyFile(join(next, "cert.pem"), join(at, "cert.pem"));
    await keep();
    await rename(join(at, "key.next.pem"), join(at, "key.pem"));
    await keep();
    await rename(join(at, "ca.next.pem"), join(at, "ca.pem"));
    await keep();
    await rm(at, { recursive: true });
    return states;
  }

  test("leaves either the old or the new, at every step, and the next save starts from there", async () => {
    await using s = await scene();
    const old = await s.enrol();
    const nextCa = await authorityOf(home);
    const nextDir = join(s.folder.path, "next");
    const next = await saveCredentials(nextDir, { ...(await leafOf(nextCa, node)), authorityPem: nextCa.certificatePem });
    const seen: string[] = [];
    for (const state of await statesBetween(s, s.dir, nextDir)) {
      const loaded = await loadCredentials(state);
      seen.push(loaded.certificatePem === next.certificatePem ? "next" : "old");
      expect(loaded.privateKeyPem).toBe(seen.at(-1) === "next" ? next.privateKeyPem : old.privateKeyPem);
      // A second crash after the next save has begun must still find a key for the certificate.
      const third = await leafOf(s.authority, node);
      await saveCredentials(state, { ...third, authorityPem: s.authority.certificatePem });
      expect((await loadCredentials(state)).certificatePem).toBe(third.certificatePem);
      expect(await readFile(join(state, "key.pem"), "utf8")).toBe(third.privateKeyPem);
    }
    expect(seen).toEqual(["old", "old", "old", "next", "next", "next"]);
  });

  test("loses no key when a broken file in trust/ meets the next save", async () => {
    await using s = await scene();
    await s.enrol();
    const next = await s.enrol({ newKey: true });
    // As after a crash between certificate and key, with a broken file beside them.
    await rename(join(s.dir, "key.pem"), join(s.dir, "key.next.pem"));
    await mkdir(join(s.dir, "trust"));
    await writeFile(join(s.dir, "trust", "x.y.pem"), "junk");
    const error = await thrownBy(() => saveCredentials(s.dir, { ...next, ...{ authorityPem: s.authority.certificatePem } }));
    expect(error).toMatchObject({ code: "configuration", message: expect.stringContaining("x.y.pem") });
    expect(await readFile(join(s.dir, "key.pem"), "utf8")).toBe(next.privateKeyPem);
  });

  test("readers that load all the while always see a pair that fits", async () => {
    await using s = await scene();
    await s.enrol();
    let writing = true;
    let loads = 0;
    const reader = (async () => {
      while (writing) {
        await loadCredentials(s.dir);
        loads++;
      }
    })();
    for (let i = 0; i < 15; i++) await s.enrol({ newKey: true });
    writing = false;
    await reader;
    expect(loads).toBeGreaterThan(5);
  });
});

describe("trust in other sites", () => {
  test("is kept over renewals, replaced when given, and never for the own site", async () => {
    await using s = await scene();
    await s.enrol();
    const [garageCa, attic] = [await authorityOf(garage), await authorityOf("attic.collective.local")];
    expect(await saveTrustedAuthority(s.dir, garageCa.certificatePem)).toBe(garage);
    const renewed = await s.enrol();
    expect(renewed.trust.authorities.map((authority) => authority.site)).toEqual([home, garage]);
    const replaced = await saveCredentials(s.dir, { ...renewed, trustedAuthorityPems: [attic.certificatePem] });
    expect(replaced.trust.authorities.map((authority) => authority.site)).toEqual([home, attic.site]);
    expect(await readdir(join(s.dir, "trust"))).toEqual(["attic.collective.local.pem"]);
    const twin = await authorityOf(home);
    expect(await thrownBy(() => saveTrustedAuthority(s.dir, twin.certificatePem))).toMatchObject({ code: "configuration" });
    const inside = await authorityOf(`shed.${home}`);
    expect(await thrownBy(() => saveTrustedAuthority(s.dir, inside.certificatePem))).toMatchObject({ code: "configuration" });
    expect(await thrownBy(() => saveTrustedAuthority(s.dir, replaced.certificatePem))).toMatchObject({ code: "configuration" });
  });

  test("a file under another site's name is refused by name", async () => {
    await using s = await scene();
    await s.enrol();
    await mkdir(join(s.dir, "trust"));
    await writeFile(join(s.dir, "trust", "attic.collective.local.pem"), (await authorityOf(garage)).certificatePem);
    expect(await thrownBy(() => loadCredentials(s.dir))).toMatchObject({
      code: "configuration",
      message: expect.stringContaining("attic.collective.local.pem"),
    });
  });
});

describe("watching", () => {
  /** The watcher reads files in its own time, so the clock ticks until what is waited for has come. */
  async function until(holds: () => boolean, tick: () => unknown): Promise<void> {
    for (let i = 0; i < 400 && !holds(); i++) {
      await tick();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(holds()).toBe(true);
  }

  test("reports what changed, keeps the old on nonsense and says so once", async () => {
    await using s = await scene();
    const first = await s.enrol();
    const clock = handClock();
    const { log, lines } = recordingLog();
    const seen: Credentials[] = [];
    using _watch = watchCredentials(s.dir, { clock, intervalMs: 1000, log, revision: first.revision }, (now) => void seen.push(now));
    const second = await s.enrol({ newKey: true });
    await until(() => seen.length === 1, clock.tick);
    expect(seen[0]?.revision).toBe(second.revision);

    const whole = await readFile(join(s.dir, "cert.pem"), "utf8");
    await writeFile(join(s.dir, "cert.pem"), whole.slice(0, 100));
    const complaints = () => lines.filter((line) => line.includes("credentials_not_reloaded")).length;
    await until(() => complaints() === 1, clock.tick);
    for (let i = 0; i < 20; i++) {
      clock.tick();
      await loadCredentials(s.dir).catch(() => undefined);
    }
    expect(complaints()).toBe(1);
    expect(seen).toHaveLength(1);

    await writeFile(join(s.dir, "cert.pem"), whole);
    await saveTrustedAuthority(s.dir, (await authorityOf(garage)).certificatePem);
    await until(() => seen.at(-1)?.trust.authorityFor(garage) !== undefined, clock.tick);
    expect(lines.join("\n")).not.toContain("PRIVATE KEY");
  });

  test("misses nothing between load and watch, and tries again what its user could not take", async () => {
    await using s = await scene();
    const first = await s.enrol();
    const second = await s.enrol();
    const clock = handClock();
    const { log, lines } = recordingLog();
    let calls = 0;
    using _watch = watchCredentials(s.dir, { clock, intervalMs: 1000, log, revision: first.revision }, (now) => {
      expect(now.revision).toBe(second.revision);
      calls++;
      if (calls < 3) throw new Error("port is busy");
    });
    await until(() => calls === 3, clock.tick);
    await until(() => lines.some((line) => line.includes("credentials_reloaded")), clock.tick);
    expect(lines.filter((line) => line.includes("port is busy"))).toHaveLength(1);
  });

  test("is silent without a change and after disposal", async () => {
    await using s = await scene();
    await s.enrol();
    const clock = handClock();
    const { log } = recordingLog();
    let calls = 0;
    const watch = watchCredentials(s.dir, { clock, intervalMs: 1000, log }, () => void calls++);
    // Without a revision the first look only learns; a change after it is what counts.
    await until(
      () => calls > 0,
      async () => {
        clock.tick();
        await s.enrol();
      },
    );
    const before = calls;
    watch[Symbol.dispose]();
    await s.enrol();
    clock.tick();
    await loadCredentials(s.dir);
    expect(calls).toBe(before);
  });
});
