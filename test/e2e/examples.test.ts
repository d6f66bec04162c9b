/** The federations among the examples do what their READMEs say, with nothing but the executable. */
import { describe, expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { examplePath, runExample, wentWell } from "../support/examples.ts";
import { temporaryHome } from "../support/process.ts";

const timeoutMs = 120_000;

describe("examples/three-member", () => {
  test(
    "three members peer, and for all pairs what was granted is read and the rest refused",
    async () => {
      const { stdout, ...rest } = await runExample("three-member");
      expect(rest).toMatchObject(wentWell);
      expect(stdout).toMatch(/^Three members are up and peered after \d+ s, bob and carol introduced by alice\.$/m);
      expect(stdout.match(/^collective: read: \/private does not exist \(not_found\)$/gm)).toHaveLength(6);
      expect(stdout.match(/^collective: write: .* has not been granted write on \/shared \(permission_denied\)$/gm)).toHaveLength(6);
      for (const owner of ["alice", "bob", "carol"])
        expect(stdout.match(new RegExp(`^For my friends, from ${owner}\\.$`, "gm"))).toHaveLength(2);
      expect(stdout).toContain("\nAll six read what was granted to them, and were refused what was not.\n");
      expect(stdout).toEndWith("\nstopped\n");
    },
    timeoutMs,
  );
});

describe("examples/homelab-federation", () => {
  test(
    "three members of three nodes each share a tree and keep copies for each other, and nodes that are killed are no loss",
    async () => {
      const { stdout, stderr, ...rest } = await runExample("homelab-federation");
      expect({ ...rest, stderr: "" }).toMatchObject(wentWell);
      // What the client says of the node that was killed.
      expect(stderr.split("\n").filter((line) => line !== "" && !/node=node-0[123]@home\.collective\.local/.test(line))).toEqual([]);
      expect(stdout.match(/^ready /gm)).toHaveLength(12);
      expect(stdout).toMatch(/^Three members with three nodes each are up and peered after \d+ s\.$/m);
      expect(stdout).toContain("\nWhat bob fetched is what alice stored.\n");
      expect(stdout).toContain("\nWhat carol fetched is what alice stored, though one of alice's nodes is dead.\n");
      expect(stdout).toContain("\nEverything came back from bob and carol, with all nodes of alice dead.\n");
      expect(stdout).toMatch(/^node-02 +(suspect|dead)/m);
      expect(stdout).toMatch(/^carol@office\.collective\.local {2}2 of 2 other members alive/m);
      expect(stdout).toEndWith("\nstopped\n");
    },
    timeoutMs,
  );
});

/** Why the machine does not allow it, in the script's own words; empty when it does. */
function reasonToSkip(): string {
  return Bun.spawnSync([examplePath("homelab-peering", "run.sh"), "--check"])
    .stdout.toString()
    .trim();
}

const skipped = reasonToSkip();

describe("examples/homelab-peering", () => {
  test.skipIf(skipped !== "")(
    `two sites in network namespaces of their own peer and read across the line ${skipped}`.trim(),
    async () => {
      const { pid, stdout, ...rest } = await runExample("homelab-peering", { ownPorts: true });
      expect(rest).toMatchObject(wentWell);
      expect(stdout).toMatch(/^(a line with 20ms delay and 1% loss in each direction|skipped: delay and loss, .*)$/m);
      expect(stdout).toContain("\nThe two sites see each other alive.\n");
      expect(stdout).toContain("\nEach read across the line what was granted to it, and was refused what was not.\n");
      expect(stdout).toEndWith("\nstopped\n");
      const left = Bun.spawnSync(["ip", "netns", "list"]).stdout.toString();
      expect(left).not.toContain(`collective-${pid}-`);
    },
    timeoutMs,
  );

  test("where namespaces are not to be had it says so and ends well", async () => {
    await using home = await temporaryHome();
    symlinkSync(Bun.which("dirname") ?? "", join(home.path, "dirname"));
    const { stdout, ...rest } = await runExample("homelab-peering", { path: home.path });
    expect(rest).toMatchObject(wentWell);
    expect(stdout).toBe("skipped: two network namespaces take the command ip, of the package iproute2\n");
  });
});
