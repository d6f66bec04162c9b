/** A datastore's policy in words and as the fields of the command-line contract. */
import type { ListedStore, StorePolicy } from "../../../protocol/schema.ts";
import type { UsableSpace } from "../../cluster/usable.ts";

/** `replicas 2` */
export function redundancyText(policy: Pick<StorePolicy, "replicas">): string {
  return `replicas ${policy.replicas}`;
}

/** What is not for this person to know is a dash. */
export function textOr(value: number | null, format: (value: number) => string): string {
  return value === null ? "-" : format(value);
}

export function jsonStore(store: ListedStore): Record<string, unknown> {
  const { policy } = store;
  return {
    name: store.name,
    inode: store.inode,
    owner: store.owner,
    created: new Date(store.createdMs).toISOString(),
    strategy: policy.strategy,
    redundancy: redundancyText(policy),
    quota: policy.quotaBytes,
    min_members: policy.minMembers,
    encrypt: policy.encrypt,
    files: store.files,
    size: store.logicalBytes,
    chunks: store.chunks,
    stored_size: store.storedBytes,
    degraded_chunks: store.degradedChunks,
  };
}

/** `available` is the same figure as in `df`. */
export function jsonSpace(space: UsableSpace | undefined): Record<string, unknown> {
  return { available: space?.availableBytes ?? null, limits: space?.limits ?? null, raise: space?.raise ?? null };
}
