/**
 * Joins by an invite code. The first connection trusts nobody and asks for nothing but the authority's
 * certificate, whose key must be the one that the code names. The second one trusts that authority alone and
 * verifies the coordinator by name; the secret and the certificate request go over that one only.
 */
import type { z } from "zod";
import { bootstrapAnswerBytesMax, bootstrapRoutes } from "../../protocol/bootstrap.ts";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { Site } from "../../protocol/ids.ts";
import type { BootstrapAddress, InviteCode } from "../../protocol/invite.ts";
import type { Route, RouteInput, RouteOutput } from "../../protocol/routes.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";
import { type RetryPolicy, retry } from "../core/retry.ts";
import { formatHostPort } from "../core/units.ts";
import { matchesPin } from "../pki/invite-hashes.ts";
import { readAuthority } from "../pki/trust-bundle.ts";
import { askOnce, type OneQuestion } from "./ask-once.ts";
import { bootstrapTls, unverifiedTls } from "./tls.ts";

/** The collective that a code leads to, proved by the code itself. */
export interface FoundCollective {
  readonly site: Site;
  readonly authorityPem: string;
  /** `host:port` of the bootstrap server that answered. */
  readonly address: string;
}

export type Redemption = RouteOutput<typeof bootstrapRoutes.redeem>;

export interface BootstrapClient {
  /** Tries the code's addresses in turn. Throws `not_authenticated` when another collective answers, `unavailable` or `timed_out` when none does. */
  find(code: InviteCode): Promise<FoundCollective>;
  /** May be repeated with the same key, after a lost answer too. Throws what the coordinator answers: see `redeemInvite`. */
  redeem(found: FoundCollective, request: RouteInput<typeof bootstrapRoutes.redeem>): Promise<Redemption>;
  /** As another member's coordinator. May be repeated, too. */
  peer(found: FoundCollective, request: RouteInput<typeof bootstrapRoutes.peer>): Promise<PeeringAnswer>;
}

export type PeeringAnswer = RouteOutput<typeof bootstrapRoutes.peer>;

export interface BootstrapClientOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
}

const retryPolicy: RetryPolicy = { attemptsMax: 4, firstDelayMs: 200, delayMsMax: 2_000 };

export function createBootstrapClient({ clock, random, signal }: BootstrapClientOptions): BootstrapClient {
  const ask = <R extends Route>(route: R, question: Pick<OneQuestion<R>, "address" | "tls" | "input">): Promise<RouteOutput<R>> =>
    askOnce(route, { ...question, answerBytesMax: bootstrapAnswerBytesMax, signal });
  const askVerified = <R extends Route>(route: R, { site, authorityPem, address }: FoundCollective, input: z.input<R["input"]>) =>
    retry(() => ask(route, { address, tls: bootstrapTls(authorityPem, site), input }), {
      policy: retryPolicy,
      clock,
      random,
      signal,
      retryable: (error) => error instanceof CollectiveError && error.code === "unavailable",
    });
  const findAt = async (place: BootstrapAddress, pin: Uint8Array): Promise<FoundCollective> => {
    const address = formatHostPort(place);
    const { authorityPem } = await ask(bootstrapRoutes.authority, { address, tls: unverifiedTls, input: {} });
    const authority = authorityOfPin(authorityPem, pin);
    if (authority) return { site: authority.site, authorityPem, address };
    throw new CollectiveError("not_authenticated", `${address} is not the collective that the code is for: its authority is another one`, {
      hint: "nothing was sent to it; ask whoever invited you, and for a new code if the collective was made anew",
    });
  };
  return {
    find: async ({ addresses, authorityPin }) => {
      let failure: CollectiveError | undefined;
      for (const address of addresses) {
        try {
          return await findAt(address, authorityPin);
        } catch (thrown) {
          // That somebody else answered says more than that nobody did.
          if (failure?.code !== "not_authenticated") failure = toCollectiveError(thrown);
        }
      }
      throw failure ?? new CollectiveError("internal", "the code has no address");
    },
    redeem: (found, request) => askVerified(bootstrapRoutes.redeem, found, request),
    peer: (found, request) => askVerified(bootstrapRoutes.peer, found, request),
  };
}

/** Undefined for another authority, and for what is none. */
function authorityOfPin(authorityPem: string, pin: Uint8Array): { readonly site: Site } | undefined {
  try {
    return matchesPin(authorityPem, pin) ? readAuthority(authorityPem) : undefined;
  } catch {
    return undefined;
  }
}
