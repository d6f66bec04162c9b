/**
 * The members that the configuration names: each is tried until it is reached. For one that is trusted it is a further address; one
 * under the same federation root becomes a peer; of any other the log says once that it needs a code.
 */
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import type { BootstrapPeer } from "../core/config.ts";
import { type RetryPolicy, retryDelayMs } from "../core/retry.ts";
import { formatHostPort } from "../core/units.ts";
import { joinUnderRoot } from "./root-peering.ts";
import type { CoordinatorService } from "./service.ts";

export interface BootstrapPeers {
  stop(): Promise<void>;
}

export const bootstrapRetryPolicy: Pick<RetryPolicy, "firstDelayMs" | "delayMsMax"> = { firstDelayMs: 500, delayMsMax: 60_000 };

export function startBootstrapPeers(service: CoordinatorService, bootstrapPeers: readonly BootstrapPeer[]): BootstrapPeers {
  const { member: self, peers, federation, membership, clock, random } = service;
  const log = service.log.tagged("bootstrap_peers");
  const stopping = new AbortController();
  const { signal } = stopping;
  const reach = async ({ member, address: place }: BootstrapPeer): Promise<void> => {
    const address = formatHostPort(place);
    // Whoever is trusted, now or later, is kept in touch with by gossip.
    federation.hint(member, address);
    let told: string | undefined;
    for (let failures = 0; !signal.aborted && !peers.get(member); failures++) {
      try {
        if (!membership) throw new CollectiveError("not_found", "it is not trusted, and there is no federation root", { hint: codeHint });
        await joinUnderRoot(service, { member, address, signal });
      } catch (error) {
        if (signal.aborted) return;
        const { message, hint } = toCollectiveError(error);
        if (message !== told) log.warn("peer not reached", { member, address, reason: message, hint });
        told = message;
        if (!membership) return;
        await clock.sleep(retryDelayMs(bootstrapRetryPolicy, failures, random), signal).catch(() => undefined);
      }
    }
  };
  // One list may serve all members of a federation.
  const reaching = Promise.all(bootstrapPeers.filter(({ member }) => member !== self).map(reach));
  return {
    stop: async () => {
      stopping.abort();
      await reaching;
    },
  };
}

const codeHint = "it needs a code: collective invite generate --for member there, collective federation peer add CODE here";
