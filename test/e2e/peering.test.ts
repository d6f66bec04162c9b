/** Members become peers without codes, as real processes: under a federation root, by the configuration, and on somebody's word. */
import { describe, expect, test } from "bun:test";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { coordinatorArgs, until } from "../support/e2e-commands.ts";
import {
  eventually,
  type MemberName,
  memberNames,
  outcomeOf,
  peer,
  peersOf,
  type ShownPeer,
  startMember,
  told,
} from "../support/federation.ts";
import { type Environment, type Handle, run, start, type TemporaryHome, temporaryHome } from "../support/process.ts";

/** A coordinator of a member whose authority was made before it started. */
interface RootedMember extends AsyncDisposable {
  readonly dataDirectory: string;
  readonly env: Environment;
  /** For `--federation-root`. */
  readonly membership: string;
  serve(address: string, flags?: readonly string[]): Promise<{ readonly handle: Handle; readonly address: string }>;
}

async function ok(args: readonly string[], env: Environment): Promise<string> {
  const { exitCode, stdout, stderr } = await run(args, { env });
  if (exitCode !== 0) throw new Error(`collective ${args.join(" ")}: ${exitCode}\n${stderr}`);
  return stdout;
}

async function memberUnder(root: string, name: MemberName): Promise<RootedMember> {
  const home: TemporaryHome = await temporaryHome();
  const [member, dataDirectory, membership] = [memberNames[name], join(home.path, "data"), join(home.path, "membership.pem")];
  await ok(["auth", "init", "--member", member, "--data-dir", dataDirectory], home.env);
  await ok(["auth", "cert", "--root", root, "--member-ca", join(dataDirectory, "authority/ca.pem"), "--output", membership], home.env);
  const processes: Handle[] = [];
  return {
    ...{ dataDirectory, membership, env: home.env },
    serve: async (address, flags = []) => {
      const args = coordinatorArgs({ member, address, dataDirectory }).filter((arg) => arg !== "--no-context");
      const handle = start([...args, "--federation-root", membership, ...flags], { env: home.env });
      processes.push(handle);
      const [, listening = ""] = await handle.waitForLine(/^ready role=\S+ name=\S+ address=(\S+)$/);
      return { handle, address: listening };
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(processes.map((handle) => handle.kill()));
      await home[Symbol.asyncDispose]();
    },
  };
}

async function listed(env: Environment): Promise<readonly Pick<ShownPeer, "member" | "state" | "trust">[]> {
  const shown = JSON.parse(await ok(["federation", "peer", "list", "--json"], env)) as ShownPeer[];
  return shown.map(({ member, state, trust }) => ({ member, state, trust }));
}

const anyPort = "127.0.0.1:0";
const alive = (name: MemberName, trust: string) => ({ member: memberNames[name], state: "alive", trust });

describe("under a federation root", () => {
  test("three members become peers without a code: by a command, and by the configuration, of one that starts later, too", async () => {
    await using place = await temporaryHome();
    const root = join(place.path, "root");
    expect(await ok(["auth", "init", "--root", "--output", root], place.env)).toMatch(/^made the federation root [0-9a-f]{8} in /);
    expect([(await stat(root)).mode & 0o777, (await stat(join(root, "ca.key"))).mode & 0o777]).toEqual([0o700, 0o600]);
    await using alice = await memberUnder(root, "alice");
    await using bob = await memberUnder(root, "bob");
    await using carol = await memberUnder(root, "carol");

    const [first, atGarage] = await Promise.all([alice.serve(anyPort), bob.serve(anyPort)]);
    expect(await ok(["federation", "peer", "connect", memberNames.bob, atGarage.address], alice.env)).toBe(
      `${memberNames.bob} at ${atGarage.address} is a peer now; each trusts the other, under one federation root\n`,
    );
    expect(await listed(bob.env)).toMatchObject([{ member: memberNames.alice, trust: "root" }]);

    await first.handle.stop();
    const file = join(place.path, "carol.json");
    const bootstrap_peers = [{ member_id: memberNames.alice, address: first.address }];
    await writeFile(file, JSON.stringify({ coordinator: { bootstrap_peers } }));
    const { handle } = await carol.serve(anyPort, ["--config", file, "--log-format", "json"]);
    await until(handle.stderr, (text) => /"peer not reached".*connection refused/.test(text));
    await alice.serve(first.address);
    const lists = {
      alice: [alive("bob", "root"), alive("carol", "root")],
      bob: [alive("alice", "root"), alive("carol", "introduced")],
      carol: [alive("alice", "root"), alive("bob", "introduced")],
    };
    for (const [member, expected] of [
      [alice, lists.alice],
      [bob, lists.bob],
      [carol, lists.carol],
    ] as const)
      await eventually(
        () => listed(member.env),
        (shown) => Bun.deepEquals(shown, expected),
        15_000,
      );
    expect(handle.stderr().split("peer not reached").length - 1).toBe(1);
    expect(await ok(["federation", "peer", "list"], alice.env)).toContain("under the federation root");
  }, 90_000);

  test("what is wrong with its files or flags is said in one line", async () => {
    await using place = await temporaryHome();
    const at = (name: string): string => join(place.path, name);
    const { env } = place;
    for (const name of ["root", "other"]) await ok(["auth", "init", "--root", "--output", at(name)], env);
    for (const name of ["data", "again"]) await ok(["auth", "init", "--member", memberNames.alice, "--data-dir", at(name)], env);
    const authority = (name: string): string => at(`${name}/authority/ca.pem`);
    const sign = (...more: string[]) => run(["auth", "cert", "--root", at("root"), ...more], { env });
    const signed = ["--member-ca", authority("data"), "--output", at("alice.pem")];
    expect(outcomeOf(await sign(...signed))).toMatch(
      /^signed the authority of home\.collective\.local until 20\d\d-\d\d-\d\d; .*alice\.pem/,
    );
    const fails = {
      "the site is signed already": [await sign("--member-ca", authority("again")), /^6: .*has signed another certificate authority of/],
      "no member": [await sign(), /^2: .*--member-ca is missing/],
      "a leaf is asked for, too": [await sign(...signed, "--kind", "node"), /^2: .*--kind does not go with --root/],
      "no such file": [await sign("--member-ca", at("nothing")), /^3: .*cannot read .*nothing/],
      "no root there": [await run(["auth", "cert", "--root", at("data"), ...signed], { env }), /^3: .*no certificate authority in/],
      "the root is there": [
        await run(["auth", "init", "--root", "--output", at("root")], { env }),
        /^6: .*there is a certificate authority/,
      ],
      "no place for it": [await run(["auth", "init", "--root"], { env }), /^2: .*--output is missing/],
    } as const;
    for (const [what, [result, says]] of Object.entries(fails)) expect(outcomeOf(result), what).toMatch(says);
    const serve = async (dataDirectory: string, file: string): Promise<string> => {
      const { exitCode, stderr } = await run([...coordinatorArgs({ dataDirectory: at(dataDirectory) }), "--federation-root", file], {
        env,
      });
      return `${exitCode}: ${stderr.split("\n").find((line) => line.startsWith("collective: "))}`;
    };
    expect(await serve("again", at("alice.pem"))).toMatch(/^2: .*alice\.pem: the federation root has signed another authority of/);
    expect(await serve("data", at("root/ca.pem"))).toMatch(/^2: .*ca\.pem: .*expected two certificates/);
    expect(await serve("data", at("nothing"))).toMatch(/^2: .*nothing/);
  }, 60_000);
});

test("by the policy manual others are shown with who vouches for them, and are connected to by name", async () => {
  const careful = { nodes: 0, coordinatorFlags: ["--trust", "manual"] };
  await using bob = await startMember("bob", { nodes: 0 });
  await using alice = await startMember("alice", careful);
  await using carol = await startMember("carol", careful);
  await peer(bob, alice);
  await peer(bob, carol);
  const known = /^carol@office\.collective\.local .*known through bob@garage\.collective\.local, not trusted/m;
  await eventually(
    () => told(alice, ["federation", "peer", "list"]),
    (text) => known.test(text.replaceAll(/\s+/g, " ").replaceAll(" carol@", "\ncarol@")),
    15_000,
  );
  expect((await peersOf(alice)).map(({ member, trust }) => [member, trust])).toEqual([
    [memberNames.bob, "direct"],
    [memberNames.carol, "none"],
  ]);
  expect(await told(alice, ["federation", "peer", "connect", memberNames.carol])).toMatch(/is trusted now, on the word of bob@garage/);
  expect(outcomeOf(await alice.run(["federation", "peer", "connect", memberNames.dave]))).toMatch(
    /^3: .*nobody that alice@home\.collective\.local trusts vouches for dave@attic\.collective\.local \(not_found\)$/,
  );
  await told(carol, ["federation", "peer", "connect", memberNames.alice]);
  for (const [at, name] of [
    [alice, memberNames.carol],
    [carol, memberNames.alice],
  ] as const)
    await eventually(
      () => peersOf(at),
      (peers) => peers.some(({ member, state, trust }) => member === name && state === "alive" && trust === "introduced"),
      15_000,
    );
}, 90_000);
