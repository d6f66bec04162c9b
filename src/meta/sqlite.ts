/** The one metadata engine: SQLite with grouped, durable writes (src/db/database.ts). */
import type { GlobalName } from "../../protocol/ids.ts";
import type { Clock } from "../core/clock.ts";
import type { CollectiveDatabase } from "../db/database.ts";
import { createAttributes } from "./attributes.ts";
import { createAuditTrail } from "./audit.ts";
import { createChangeRecorder } from "./changes.ts";
import { createChunkMap } from "./chunk-map.ts";
import { type MetadataContext, statement, usableCopies } from "./context.ts";
import { createEnrolmentRegistry } from "./enrolments.ts";
import { createGrantRegistry } from "./grants.ts";
import { createHolds } from "./holds.ts";
import { createHostRegistry } from "./hosts.ts";
import { createInviteRegistry } from "./invites.ts";
import { createNamespace } from "./namespace.ts";
import { createNodeRegistry } from "./nodes.ts";
import { createPeerRegistry } from "./peers.ts";
import { rememberingContext } from "./requests.ts";
import { createNameRevocation } from "./revoked-names.ts";
import type { ChunkTotals, MetadataParts, MetadataStore } from "./store.ts";
import { createStoreRegistry } from "./stores.ts";
import { createSurplus } from "./surplus.ts";

/**
 * At each start, durable before the first is given out: a client may hold numbers of files whose making was not durable yet when the
 * power failed, and they must never be another file's.
 */
const skippedNumbers = 100_000;

/** `db` must have been opened with `metadataMigrations`; closing the store closes it. */
export function createSqliteMetadata({ db, clock }: { readonly db: CollectiveDatabase; readonly clock: Clock }): MetadataStore {
  const changes = createChangeRecorder(db);
  const openedMs = Math.trunc(clock.wallMs());
  const contextOf = (session: string | undefined): MetadataContext => ({ db: changes.recording(session), clock, openedMs });
  const context = contextOf(undefined);
  db.sqlite.run("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'inode' AND seq > 1", [skippedNumbers]);
  return {
    ...createParts(context),
    once: (request) => createParts(rememberingContext(contextOf(request.session), request)),
    by: (session) => createParts(contextOf(session)),
    observeChanges: changes.observe,
    makeDurable: () => db.write(() => undefined),
    totals: async (unusable) => totals(context, unusable),
    close: () => db.close(),
  };
}

function createParts(context: MetadataContext): MetadataParts {
  return {
    ...createNamespace(context),
    ...createAttributes(context),
    ...createHolds(context),
    ...createChunkMap(context),
    ...createSurplus(context),
    ...createStoreRegistry(context),
    ...createNodeRegistry(context),
    ...createHostRegistry(context),
    ...createEnrolmentRegistry(context),
    ...createNameRevocation(context),
    ...createGrantRegistry(context),
    ...createInviteRegistry(context),
    ...createPeerRegistry(context),
    ...createAuditTrail(context),
  };
}

function totals(context: MetadataContext, unusable: readonly GlobalName[]): ChunkTotals {
  const sums = statement<{ files: number; chunks: number }, []>(
    context,
    "SELECT coalesce(sum(files), 0) AS files, coalesce(sum(chunks), 0) AS chunks FROM datastore",
  ).get();
  const { sql: usable, params } = usableCopies(unusable);
  const count = statement<{ degraded: number; lost: number }, string[]>(
    context,
    `SELECT count(*) AS degraded, coalesce(sum(${usable} <= 0), 0) AS lost
     FROM datastore JOIN chunk ON chunk.store = datastore.inode AND chunk.refs > 0 WHERE ${usable} < datastore.replicas`,
  ).get(...params);
  return { files: sums?.files ?? 0, chunks: sums?.chunks ?? 0, degradedChunks: count?.degraded ?? 0, lostChunks: count?.lost ?? 0 };
}
