/** Commands in the test's own process, against a member that is in it too: no executable, no waiting. */

import { join } from "node:path";
import { Writable } from "node:stream";
import type { Identity } from "../../protocol/ids.ts";
import { parsePath } from "../../protocol/path.ts";
import { createMemoryChunkStore, type MemoryChunkStore } from "../../src/chunk/memory.ts";
import { runCli } from "../../src/cli/run.ts";
import type { Paths } from "../../src/client/complete-path.ts";
import { openContexts } from "../../src/client/context-file.ts";
import { filePlaceOf, statPath } from "../../src/client/files.ts";
import { createIngest } from "../../src/client/ingest.ts";
import type { Remote } from "../../src/client/remote.ts";
import { bytesSource } from "../../src/client/sources.ts";
import { saveCredentials } from "../../src/pki/credentials.ts";
import { startTestMember, type TestMember, type TestMemberOptions, type TestNode } from "./member.ts";
import { testFolder } from "./pki.ts";

export interface CliResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type Run = (args: readonly string[], environment?: Readonly<Record<string, string>>) => Promise<CliResult>;

export interface CliNode extends TestNode {
  readonly store: MemoryChunkStore;
}

export interface CliMember extends AsyncDisposable {
  readonly member: TestMember;
  readonly remote: Remote;
  readonly nodes: readonly CliNode[];
  /** A folder for whatever the test needs; `$COLLECTIVE_HOME` is inside. */
  readonly dir: string;
  readonly home: string;
  readonly run: Run;
  /** Runs what must exit 0, and answers its output. */
  ok(args: readonly string[]): Promise<string>;
  /** The same with `--json`, read. */
  json(args: readonly string[]): Promise<unknown>;
  /** Stores a file at a path, whose directory exists. */
  put(path: string, content: string | Uint8Array, attributes?: { readonly mode?: number; readonly mtimeNs?: bigint }): Promise<void>;
  /** Stores small files by their names in a directory, together. */
  putMany(directory: string, contents: Readonly<Record<string, string>>): Promise<void>;
}

/** A stream that no terminal reads. */
function collector(): { readonly stream: NodeJS.WriteStream; text(): string } {
  const pieces: Buffer[] = [];
  const stream = new Writable({
    write: (piece: Buffer, _, done) => {
      pieces.push(piece);
      done();
    },
  });
  return { stream: stream as NodeJS.WriteStream, text: () => Buffer.concat(pieces).toString("utf8") };
}

export function runnerIn(home: string): Run {
  return async (argv, environment = {}) => {
    const [stdout, stderr] = [collector(), collector()];
    const exitCode = await runCli({
      argv,
      environment: { COLLECTIVE_HOME: home, ...environment },
      stdout: stdout.stream,
      stderr: stderr.stream,
      signal: new AbortController().signal,
    });
    return { exitCode, stdout: stdout.text(), stderr: stderr.text() };
  };
}

/** As somebody types them who knows of no other member. */
export function ownPaths(remote: Remote): Paths {
  return { remote, at: async (text) => ({ ...parsePath(text), member: undefined, remote }) };
}

/** With the administrator's context, as the coordinator's first start makes it. */
export async function startCliMember({
  nodes: count = 2,
  ...options
}: { readonly nodes?: number } & TestMemberOptions = {}): Promise<CliMember> {
  const member = await startTestMember(options);
  const folder = await testFolder();
  const home = join(folder.path, "home");
  const identity: Identity = { kind: "user", name: member.member };
  const contexts = openContexts(home);
  await saveCredentials(contexts.credentials("alice").folder, await member.credentialsOf(identity));
  await contexts.put("alice", {
    member: member.member,
    coordinator: member.address,
    identity: member.member,
    created: new Date(member.clock.wallMs()).toISOString(),
  });
  const nodes: CliNode[] = [];
  for (let index = 1; index <= count; index++) {
    const store = createMemoryChunkStore({ capacityBytes: 1_000_000_000 });
    nodes.push({ ...(await member.startNode(`node-0${index}`, { store, capacityBytes: store.usage().capacityBytes })), store });
  }
  const run = runnerIn(home);
  const remote = member.remote();
  const ok = async (args: readonly string[]): Promise<string> => {
    const result = await run(args);
    if (result.exitCode !== 0) throw new Error(`collective ${args.join(" ")}: exit code ${result.exitCode}\n${result.stderr}`);
    return result.stdout;
  };
  return {
    member,
    remote,
    nodes,
    dir: folder.path,
    home,
    run,
    ok,
    json: async (args) => JSON.parse(await ok([...args, "--json"])),
    put: async (path, content, { mode = 0o644, mtimeNs = 1_700_000_000_123_456_789n } = {}) => {
      const place = await filePlaceOf(remote, path.split("/").slice(1));
      const ingest = createIngest(remote);
      await ingest.add(
        { parent: place.parent.inode, name: place.name, store: place.store, mode, mtimeNs },
        bytesSource(typeof content === "string" ? new TextEncoder().encode(content) : content),
      );
      await ingest.finish();
    },
    putMany: async (directory, contents) => {
      const { inode, store } = await statPath(remote, directory.split("/").slice(1));
      if (store === undefined) throw new Error("files lie in datastores");
      const ingest = createIngest(remote);
      for (const [name, text] of Object.entries(contents)) {
        await ingest.add({ parent: inode, name, store, mode: 0o644, mtimeNs: 0n }, bytesSource(new TextEncoder().encode(text)));
      }
      await ingest.finish();
    },
    [Symbol.asyncDispose]: async () => {
      await member[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}
