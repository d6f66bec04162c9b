/**
 * Whom a command speaks to, and as who: `--context` > `COLLECTIVE_CONTEXT` > the current context. An
 * address given by hand replaces the context's, credentials given by hand replace all of its; an address
 * of the environment gives way to a context that a flag names. Nothing is connected and no key is read here.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import type { GlobalName } from "../../protocol/ids.ts";
import { type Contexts, type CredentialFiles, openContexts } from "../client/context-file.ts";
import { collectiveHome } from "../core/config.ts";
import { parseTarget } from "../core/config-values.ts";
import type { HostPort } from "../core/units.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface ContextFlags {
  readonly context?: string | undefined;
  /** `host:port`, in place of the context's. */
  readonly coordinator?: string | undefined;
  /** These three go together and need no context. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface ChosenContext {
  /** Undefined when everything was given by hand. */
  readonly name: string | undefined;
  /** Undefined when no context says whose coordinator it is: then its certificate tells. */
  readonly member: GlobalName | undefined;
  readonly identity: GlobalName | undefined;
  readonly coordinator: HostPort;
  readonly credentials: Omit<CredentialFiles, "folder">;
}

export interface ChooseOptions {
  readonly flags: ContextFlags;
  readonly environment: Environment;
  /** Those of `$COLLECTIVE_HOME` unless told. */
  readonly contexts?: Contexts;
}

export function contextsOf(environment: Environment): Contexts {
  return openContexts(collectiveHome(environment));
}

/** Throws `not_found` for a context that does not exist, `configuration` when none is chosen. */
export async function chooseContext({ flags, environment, contexts = contextsOf(environment) }: ChooseOptions): Promise<ChosenContext> {
  const byHand = credentialsByHand(flags);
  const address = flags.coordinator || (flags.context ? undefined : environment.COLLECTIVE_COORDINATOR_ADDRESS);
  const coordinator = address ? parseTarget(address) : undefined;
  const name = flags.context || environment.COLLECTIVE_CONTEXT || undefined;
  if (byHand && coordinator && name === undefined) {
    return { name: undefined, member: undefined, identity: undefined, coordinator, credentials: byHand };
  }
  const context = name === undefined ? await contexts.current() : await contexts.get(name);
  if (context === undefined) throw await noContext(contexts);
  return {
    name: context.name,
    member: context.member,
    identity: byHand ? undefined : context.identity,
    coordinator: coordinator ?? parseTarget(context.coordinator),
    credentials: byHand ?? contexts.credentials(context.name),
  };
}

function credentialsByHand({ ca, cert, key }: ContextFlags): ChosenContext["credentials"] | undefined {
  if (!ca && !cert && !key) return undefined;
  if (ca && cert && key) return { authorityFile: ca, certificateFile: cert, keyFile: key };
  throw new CollectiveError("invalid_argument", "--ca, --cert and --key are needed together");
}

async function noContext(contexts: Contexts): Promise<CollectiveError> {
  const names = (await contexts.list()).map((context) => context.name);
  if (names.length === 0) {
    return new CollectiveError("configuration", "there is no context yet", {
      hint: "redeem an invite, start a coordinator on this machine, or name one with collective init",
    });
  }
  return new CollectiveError("configuration", "no context is current", {
    hint: `choose one with collective config use-context: ${names.join(", ")}`,
  });
}
