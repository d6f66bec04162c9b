/** From `--context` to a connection. */
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { parsePath, type RemotePath } from "../../protocol/path.ts";
import { openContexts } from "../client/context-file.ts";
import { createRemote, type Remote } from "../client/remote.ts";
import { loadCredentials } from "../pki/credentials.ts";
import type { Io } from "./io.ts";

export interface Session {
  readonly remote: Remote;
  readonly member: GlobalName;
  readonly address: string;
  readonly contextName: string;
  /** Throws `unsupported` for a path at another member. */
  path(text: string): RemotePath;
}

/** Throws `configuration` when there is no context, `not_found` when the named one does not exist. */
export async function openSession(io: Io): Promise<Session> {
  const contexts = openContexts(io.home);
  const context = io.contextName === undefined ? await contexts.current() : await contexts.get(io.contextName);
  if (!context) {
    throw new CollectiveError("configuration", `no collective is known in ${io.home}`, {
      hint: "start a coordinator here, or name one: collective init --name N --coordinator HOST:PORT --member MEMBER",
    });
  }
  const credentials = await loadCredentials(contexts.credentials(context.name).folder);
  const { member } = context;
  const remote = createRemote({ member, address: context.coordinator, credentials: () => credentials, clock: io.clock, random: io.random, log: io.log });
  return {
    remote,
    member,
    address: context.coordinator,
    contextName: context.name,
    path: (text) => {
      const path = parsePath(text);
      if (path.member !== undefined && siteOf(path.member) !== siteOf(member)) {
        throw new CollectiveError("unsupported", `${path.member} cannot be reached: this version knows one member only`);
      }
      return path;
    },
  };
}
