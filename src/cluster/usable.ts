/** How much more fits, when every chunk wants several nodes of its own. */

/**
 * The largest X for which `replicas` copies of X bytes fit on distinct nodes with these free bytes.
 * One node can hold at most one copy of everything, so a node much larger than the others does not
 * help: X is the least, over every number of largest nodes set aside as full copies, of what the
 * rest can share.
 */
export function usableBytes(freeBytes: readonly number[], replicas: number): number {
  if (freeBytes.length < replicas) return 0;
  const descending = [...freeBytes].sort((a, b) => b - a);
  let rest = descending.reduce((sum, bytes) => sum + bytes, 0);
  let usable = Number.POSITIVE_INFINITY;
  for (let aside = 0; aside < replicas; aside++) {
    usable = Math.min(usable, rest / (replicas - aside));
    rest -= descending[aside] ?? 0;
  }
  return Math.floor(usable);
}
