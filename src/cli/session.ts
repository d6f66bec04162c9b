/** From `--context` to a connection. */
import { dirname } from "node:path";
import { CollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, siteOf } from "../../protocol/ids.ts";
import { parsePath, type RemotePath } from "../../protocol/path.ts";
import { routes } from "../../protocol/routes.ts";
import { openContexts } from "../client/context-file.ts";
import { type OwnCredentials, openOwnCredentials } from "../client/own-credentials.ts";
import { createPeerRemotes } from "../client/peer-remotes.ts";
import { createRemote, type Remote } from "../client/remote.ts";
import type { RemotePlace } from "../client/remote-tree.ts";
import { formatHostPort } from "../core/units.ts";
import { chooseContext } from "./contexts.ts";
import type { Io } from "./io.ts";

export interface Session {
  readonly remote: Remote;
  readonly credentials: OwnCredentials;
  readonly member: GlobalName;
  readonly address: string;
  readonly contextName: string;
  /** Throws `unsupported` for a path at another member. */
  path(text: string): RemotePath;
  /** Where a path leads, at this member or at a peer of it. */
  at(text: string, signal?: AbortSignal): Promise<RemotePlace>;
}

export interface SessionOptions {
  /** `host:port` in place of the context's. */
  readonly coordinator?: string | undefined;
}

/** Throws `configuration` when there is no context, `not_found` when the named one does not exist. */
export async function openSession(io: Io, { coordinator }: SessionOptions = {}): Promise<Session> {
  const contexts = openContexts(io.home);
  // A context that the environment names leaves the environment's address in force, one that a flag names does not.
  const context = io.contextName === io.environment.COLLECTIVE_CONTEXT ? undefined : io.contextName;
  const chosen = await chooseContext({ flags: { context, coordinator }, environment: io.environment, contexts });
  const { member, name } = chosen;
  if (member === undefined || name === undefined) throw new CollectiveError("internal", "no context was chosen");
  const { clock, random, log } = io;
  const credentials = await openOwnCredentials({
    folder: dirname(chosen.credentials.keyFile),
    certify: (csrPem) => remote.control.call(routes.renewCertificate, { csrPem }, { signal: io.signal }),
    clock,
    random,
    log,
  });
  const { current, renewIfDue } = credentials;
  const address = formatHostPort(chosen.coordinator);
  const remote = createRemote({ member, address, credentials: current, beforeCall: renewIfDue, clock, random, log });
  const peers = createPeerRemotes({ own: remote, credentials: current, beforeCall: renewIfDue });
  const isOwn = (path: RemotePath): boolean => path.member === undefined || siteOf(path.member) === siteOf(member);
  const at: Session["at"] = async (text, signal = io.signal) => {
    const path = parsePath(text);
    const other = isOwn(path) ? undefined : path.member;
    const there = other === undefined ? remote : await peers.remoteOf(other, signal);
    return { member: other, remote: there, components: path.components };
  };
  return {
    remote,
    credentials,
    member,
    address,
    contextName: name,
    path: (text) => {
      const path = parsePath(text);
      if (isOwn(path)) return path;
      throw new CollectiveError("unsupported", `this is for ${member}'s own paths, ${path.member} is another member`);
    },
    at,
  };
}
