/** When a certificate is renewed, and what a failure is worth. */
import { describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { assembleCredentials, type Credentials } from "../../src/pki/credentials.ts";
import { createRenewal, needsRenewal } from "../../src/pki/renewal.ts";
import { expectCode } from "../support/metadata.ts";
import { alice, authorityOf, handClock, home, hourMs, leafOf } from "../support/pki.ts";

const startMs = Math.floor(Date.now() / 1_000) * 1_000;

async function setUp() {
  const authority = await authorityOf(home);
  const issue = async (nowMs: number): Promise<Credentials> => {
    const { certificatePem, privateKeyPem } = await leafOf(authority, { kind: "user", name: alice }, { nowMs, validityMs: 24 * hourMs });
    return assembleCredentials({ certificatePem, privateKeyPem, authorityPem: authority.certificatePem, trustedAuthorityPems: [] });
  };
  const clock = handClock(startMs);
  const said: string[] = [];
  const log = { ...silentLog, warn: (event: string, fields?: object) => void said.push(`${event} ${JSON.stringify(fields)}`) };
  let credentials = await issue(startMs);
  let attempts = 0;
  let answer: () => Promise<void> = async () => {
    credentials = await issue(clock.nowMs);
  };
  const renewIfDue = createRenewal({
    credentials: () => credentials,
    renew: () => {
      attempts++;
      return answer();
    },
    clock,
    random: createSeededRandom(1),
    log,
    failureLevel: "warn",
  });
  return {
    clock,
    said,
    renewIfDue,
    attempts: () => attempts,
    become: (next: () => Promise<void>): void => {
      answer = next;
    },
  };
}

describe("a certificate", () => {
  test("is renewed at two thirds of its life, by however many ask once", async () => {
    const { clock, renewIfDue, attempts } = await setUp();
    clock.nowMs += 15 * hourMs;
    await renewIfDue();
    expect(attempts()).toBe(0);
    clock.nowMs += 1.1 * hourMs;
    await Promise.all([renewIfDue(), renewIfDue(), renewIfDue()]);
    expect(attempts()).toBe(1);
    await renewIfDue();
    expect(attempts()).toBe(1);
  });

  test("that is not renewed is no failure while it is valid: said once, tried again after a pause", async () => {
    const { clock, renewIfDue, attempts, become, said } = await setUp();
    become(() => Promise.reject(new CollectiveError("unavailable", "away")));
    clock.nowMs += 17 * hourMs;
    for (let i = 0; i < 5; i++) await renewIfDue();
    expect(attempts()).toBe(1);
    for (let i = 0; i < 5; i++) {
      clock.nowMs += 61_000;
      await renewIfDue();
    }
    expect(attempts()).toBe(6);
    expect(said).toHaveLength(1);
  });

  test("that has expired is renewed all the same, or the reason is thrown", async () => {
    const { clock, renewIfDue, attempts, become } = await setUp();
    clock.nowMs += 7 * 24 * hourMs;
    become(() => Promise.reject(new CollectiveError("not_authenticated", "alice was revoked")));
    await expectCode("not_authenticated", renewIfDue());
    await expectCode("not_authenticated", renewIfDue());
    expect(attempts()).toBe(2);
  });

  test("of a process with another jitter is renewed a little earlier, never later", async () => {
    const authority = await authorityOf(home);
    const leaf = await leafOf(authority, { kind: "user", name: alice }, { nowMs: startMs, validityMs: 24 * hourMs });
    const credentials = assembleCredentials({ ...leaf, authorityPem: authority.certificatePem, trustedAuthorityPems: [] });
    const due = (hours: number, jitter: number): boolean => needsRenewal(credentials, startMs + hours * hourMs, jitter);
    expect([due(14.7, 1), due(14.9, 1), due(15.9, 0), due(16.1, 0)]).toEqual([false, true, false, true]);
  });
});
