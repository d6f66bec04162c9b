/** The coordinator's database, step by step. Released steps never change; add a new one at the end. */
import type { Migration } from "../db/database.ts";

export const metadataApplicationId = 0x43534d31;

export const metadataMigrations: readonly Migration[] = [
  {
    name: "0001-names-chunks-nodes",
    sql: `
-- type: 1 directory, 2 file, 3 symbolic link. store: the datastore's root directory, 0 for "/".
-- Times are seconds and nanoseconds apart, because nanoseconds since 1970 pass 2^53.
CREATE TABLE inode (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  type INTEGER NOT NULL CHECK (type IN (1, 2, 3)),
  store INTEGER NOT NULL,
  size INTEGER NOT NULL DEFAULT 0,
  mode INTEGER NOT NULL,
  owner TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  mtime_s INTEGER NOT NULL, mtime_n INTEGER NOT NULL,
  ctime_s INTEGER NOT NULL, ctime_n INTEGER NOT NULL,
  target TEXT
) STRICT;
INSERT INTO inode (id, type, store, mode, owner, mtime_s, mtime_n, ctime_s, ctime_n) VALUES (1, 1, 0, 493, '', 0, 0, 0, 0);

CREATE TABLE entry (
  parent INTEGER NOT NULL REFERENCES inode (id),
  name TEXT NOT NULL,
  inode INTEGER NOT NULL REFERENCES inode (id),
  PRIMARY KEY (parent, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_by_inode ON entry (inode);

CREATE TABLE datastore (
  inode INTEGER PRIMARY KEY,
  strategy TEXT NOT NULL,
  replicas INTEGER NOT NULL,
  quota_bytes INTEGER,
  min_members INTEGER NOT NULL,
  encrypt INTEGER NOT NULL,
  key BLOB NOT NULL,
  created_ms INTEGER NOT NULL,
  files INTEGER NOT NULL DEFAULT 0,
  logical_bytes INTEGER NOT NULL DEFAULT 0,
  chunks INTEGER NOT NULL DEFAULT 0,
  stored_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TRIGGER file_added AFTER INSERT ON inode WHEN new.type = 2 BEGIN
  UPDATE datastore SET files = files + 1, logical_bytes = logical_bytes + new.size WHERE inode = new.store;
END;
CREATE TRIGGER file_resized AFTER UPDATE OF size ON inode WHEN new.type = 2 BEGIN
  UPDATE datastore SET logical_bytes = logical_bytes + new.size - old.size WHERE inode = new.store;
END;
CREATE TRIGGER file_removed AFTER DELETE ON inode WHEN old.type = 2 BEGIN
  UPDATE datastore SET files = files - 1, logical_bytes = logical_bytes - old.size WHERE inode = old.store;
END;

-- A chunk belongs to one store: another store would have other keys, or could be removed alone.
-- codec: 0 none, 1 zstd. refs: extents that name it. copies: copies in state stored.
CREATE TABLE chunk (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL,
  store INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL,
  codec INTEGER NOT NULL,
  refs INTEGER NOT NULL DEFAULT 0,
  copies INTEGER NOT NULL DEFAULT 0,
  UNIQUE (hash, store)
) STRICT;
CREATE INDEX chunk_in_use ON chunk (store, copies) WHERE refs > 0;
CREATE INDEX chunk_unused ON chunk (id) WHERE refs = 0;
CREATE TRIGGER chunk_used AFTER UPDATE OF refs ON chunk WHEN old.refs = 0 AND new.refs > 0 BEGIN
  UPDATE datastore SET chunks = chunks + 1, stored_bytes = stored_bytes + new.stored_bytes WHERE inode = new.store;
END;
CREATE TRIGGER chunk_freed AFTER UPDATE OF refs ON chunk WHEN old.refs > 0 AND new.refs = 0 BEGIN
  UPDATE datastore SET chunks = chunks - 1, stored_bytes = stored_bytes - new.stored_bytes WHERE inode = new.store;
END;

CREATE TABLE extent (
  inode INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  length INTEGER NOT NULL,
  chunk INTEGER NOT NULL REFERENCES chunk (id),
  PRIMARY KEY (inode, offset)
) STRICT, WITHOUT ROWID;
CREATE INDEX extent_by_chunk ON extent (chunk);
CREATE TRIGGER extent_added AFTER INSERT ON extent BEGIN
  UPDATE chunk SET refs = refs + 1 WHERE id = new.chunk;
END;
CREATE TRIGGER extent_removed AFTER DELETE ON extent BEGIN
  UPDATE chunk SET refs = refs - 1 WHERE id = old.chunk;
END;

CREATE TABLE node (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  public_key BLOB NOT NULL,
  address TEXT NOT NULL,
  capacity_bytes INTEGER NOT NULL,
  used_bytes INTEGER NOT NULL,
  free_bytes INTEGER NOT NULL,
  chunk_count INTEGER NOT NULL,
  version TEXT NOT NULL,
  last_seen_ms INTEGER NOT NULL
) STRICT;

-- state: 0 offered, 1 stored, 2 damaged, 3 deleting.
CREATE TABLE copy (
  chunk INTEGER NOT NULL REFERENCES chunk (id),
  node INTEGER NOT NULL REFERENCES node (id),
  state INTEGER NOT NULL,
  PRIMARY KEY (chunk, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX copy_by_node ON copy (node, state);
CREATE INDEX copy_not_stored ON copy (state, chunk) WHERE state <> 1;
CREATE TRIGGER copy_added AFTER INSERT ON copy WHEN new.state = 1 BEGIN
  UPDATE chunk SET copies = copies + 1 WHERE id = new.chunk;
END;
CREATE TRIGGER copy_changed AFTER UPDATE OF state ON copy WHEN (old.state = 1) <> (new.state = 1) BEGIN
  UPDATE chunk SET copies = copies + iif(new.state = 1, 1, -1) WHERE id = new.chunk;
END;
CREATE TRIGGER copy_removed AFTER DELETE ON copy WHEN old.state = 1 BEGIN
  UPDATE chunk SET copies = copies - 1 WHERE id = old.chunk;
END;

-- What a running upload has announced; garbage collection leaves it alone.
CREATE TABLE upload (id INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, touched_ms INTEGER NOT NULL) STRICT;
CREATE TABLE pin (
  chunk INTEGER NOT NULL,
  upload INTEGER NOT NULL REFERENCES upload (id) ON DELETE CASCADE,
  PRIMARY KEY (chunk, upload)
) STRICT, WITHOUT ROWID;
CREATE INDEX pin_by_upload ON pin (upload);

-- Inodes without a name whose extents and children are still to be freed.
CREATE TABLE reclaim (inode INTEGER PRIMARY KEY) STRICT;
`,
  },
  {
    name: "0002-people-rights-audit",
    sql: `
-- Who has been given a certificate. public_key: raw Ed25519, or empty for "any key not listed": a name
-- revoked as a whole. revoked_ms: refused since then.
CREATE TABLE enrolment (
  kind TEXT NOT NULL CHECK (kind IN ('user', 'node')),
  name TEXT NOT NULL,
  public_key BLOB NOT NULL,
  joined_ms INTEGER NOT NULL,
  joined_by TEXT NOT NULL,
  revoked_ms INTEGER,
  PRIMARY KEY (kind, name, public_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE revoked_serial (serial TEXT PRIMARY KEY, revoked_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Tickets of this holder that were issued until then are void. Kept for as long as such a ticket could live.
CREATE TABLE withdrawal (holder TEXT PRIMARY KEY, until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- rights: bits by position in protocol/rights.ts. One row for each of those who granted.
CREATE TABLE access_grant (
  inode INTEGER NOT NULL,
  subject TEXT NOT NULL,
  granted_by TEXT NOT NULL,
  rights INTEGER NOT NULL,
  granted_ms INTEGER NOT NULL,
  expires_ms INTEGER,
  PRIMARY KEY (inode, subject, granted_by)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER granted_inode_removed AFTER DELETE ON inode BEGIN
  DELETE FROM access_grant WHERE inode = old.id;
END;

-- grants: JSON [{inode, rights}]. secret_hash: SHA-256.
CREATE TABLE invite (
  id TEXT PRIMARY KEY,
  secret_hash BLOB NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('person', 'node', 'member')),
  name TEXT,
  grants TEXT NOT NULL,
  uses_max INTEGER NOT NULL,
  uses INTEGER NOT NULL DEFAULT 0 CHECK (uses <= uses_max),
  description TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  expires_ms INTEGER NOT NULL,
  revoked_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Append-only: not even this program can change what it wrote.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  details TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
`,
  },
  {
    name: "0003-requests",
    sql: `
-- The last change that each slot of a caller has asked for, and its answer; see protocol/request-id.ts.
CREATE TABLE request (
  caller TEXT NOT NULL,
  slot TEXT NOT NULL,
  number INTEGER NOT NULL,
  answer BLOB NOT NULL,
  answered_ms INTEGER NOT NULL,
  UNIQUE (caller, slot)
) STRICT;
CREATE INDEX request_by_age ON request (answered_ms);
`,
  },
  {
    name: "0004-peers",
    sql: `
-- Members whose authority is trusted, or was until removed_ms. coordinator_pem: certifies the key that signs its statements.
-- introducer: who vouched for it, null for one that came by a code. invite: the code of ours that it came by.
CREATE TABLE peer (
  member TEXT PRIMARY KEY,
  authority_pem TEXT NOT NULL,
  coordinator_pem TEXT NOT NULL,
  address TEXT NOT NULL,
  introducer TEXT,
  invite TEXT,
  added_ms INTEGER NOT NULL,
  removed_ms INTEGER
) STRICT, WITHOUT ROWID;
`,
  },
  {
    name: "0005-copies-at-others",
    sql: `
-- What the member lends to others.
CREATE TABLE pledge (only INTEGER PRIMARY KEY CHECK (only = 1), bytes INTEGER NOT NULL) STRICT;

-- Nodes of other members that have consented to keep copies. used_bytes: of copies there, in whatever state. The same bytes
-- in two datastores count twice, though the node keeps them once.
CREATE TABLE host_node (
  node INTEGER PRIMARY KEY REFERENCES node (id),
  member TEXT NOT NULL,
  used_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TRIGGER hosted_copy_added AFTER INSERT ON copy WHEN EXISTS (SELECT 1 FROM host_node WHERE node = new.node) BEGIN
  UPDATE host_node SET used_bytes = used_bytes + (SELECT stored_bytes FROM chunk WHERE id = new.chunk) WHERE node = new.node;
END;
CREATE TRIGGER hosted_copy_removed AFTER DELETE ON copy WHEN EXISTS (SELECT 1 FROM host_node WHERE node = old.node) BEGIN
  UPDATE host_node SET used_bytes = used_bytes - (SELECT stored_bytes FROM chunk WHERE id = old.chunk) WHERE node = old.node;
END;
`,
  },
  {
    name: "0006-peers-under-a-root",
    sql: `
-- Fingerprint of the federation root that the member came under; such a member has no introducer.
ALTER TABLE peer ADD COLUMN root TEXT;
`,
  },
  {
    name: "0007-posix",
    sql: `
-- The same inodes with what POSIX knows of a file besides. type: 4 fifo, 5 socket, 6 character device, 7 block device.
-- uid, gid: null until somebody says. device: of devices, as dev_t. links: names that lead to it; of a directory that has
-- a name 2, and one for each directory in it.
CREATE TABLE inode_with_posix (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  type INTEGER NOT NULL CHECK (type BETWEEN 1 AND 7),
  store INTEGER NOT NULL,
  size INTEGER NOT NULL DEFAULT 0,
  mode INTEGER NOT NULL,
  owner TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  mtime_s INTEGER NOT NULL, mtime_n INTEGER NOT NULL,
  ctime_s INTEGER NOT NULL, ctime_n INTEGER NOT NULL,
  atime_s INTEGER NOT NULL, atime_n INTEGER NOT NULL,
  target TEXT,
  uid INTEGER, gid INTEGER,
  device INTEGER NOT NULL DEFAULT 0,
  links INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO inode_with_posix (id, type, store, size, mode, owner, version, mtime_s, mtime_n, ctime_s, ctime_n, atime_s, atime_n, target)
  SELECT id, type, store, size, mode, owner, version, mtime_s, mtime_n, ctime_s, ctime_n, mtime_s, mtime_n, target FROM inode;
-- Numbers are never used again, also those of the last ones that were removed.
UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'inode') WHERE name = 'inode_with_posix';
DROP TABLE inode;
ALTER TABLE inode_with_posix RENAME TO inode;
UPDATE inode SET links = (SELECT count(*) FROM entry WHERE entry.inode = inode.id) WHERE type <> 1;
UPDATE inode SET links = iif(id = 1 OR EXISTS (SELECT 1 FROM entry WHERE entry.inode = inode.id), 2, 0)
  + (SELECT count(*) FROM entry JOIN inode AS child ON child.id = entry.inode WHERE entry.parent = inode.id AND child.type = 1)
  WHERE type = 1;

CREATE TRIGGER file_added AFTER INSERT ON inode WHEN new.type = 2 BEGIN
  UPDATE datastore SET files = files + 1, logical_bytes = logical_bytes + new.size WHERE inode = new.store;
END;
CREATE TRIGGER file_resized AFTER UPDATE OF size ON inode WHEN new.type = 2 BEGIN
  UPDATE datastore SET logical_bytes = logical_bytes + new.size - old.size WHERE inode = new.store;
END;
CREATE TRIGGER file_removed AFTER DELETE ON inode WHEN old.type = 2 BEGIN
  UPDATE datastore SET files = files - 1, logical_bytes = logical_bytes - old.size WHERE inode = old.store;
END;
CREATE TRIGGER granted_inode_removed AFTER DELETE ON inode BEGIN
  DELETE FROM access_grant WHERE inode = old.id;
END;
CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN
  UPDATE inode SET links = links + iif(type = 1, 2, 1) WHERE id = new.inode;
  UPDATE inode SET links = links + 1 WHERE id = new.parent AND (SELECT type FROM inode WHERE id = new.inode) = 1;
END;
CREATE TRIGGER entry_removed AFTER DELETE ON entry BEGIN
  UPDATE inode SET links = links - iif(type = 1, 2, 1) WHERE id = old.inode;
  UPDATE inode SET links = links - 1 WHERE id = old.parent AND (SELECT type FROM inode WHERE id = old.inode) = 1;
END;
CREATE TRIGGER entry_moved AFTER UPDATE OF parent ON entry WHEN (SELECT type FROM inode WHERE id = new.inode) = 1 BEGIN
  UPDATE inode SET links = links - 1 WHERE id = old.parent;
  UPDATE inode SET links = links + 1 WHERE id = new.parent;
END;

CREATE TABLE extended_attribute (
  inode INTEGER NOT NULL REFERENCES inode (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (inode, name)
) STRICT, WITHOUT ROWID;

-- Inodes that somebody has open: kept when their last name goes.
CREATE TABLE session (
  id INTEGER PRIMARY KEY,
  caller TEXT NOT NULL,
  token TEXT NOT NULL,
  touched_ms INTEGER NOT NULL,
  UNIQUE (caller, token)
) STRICT;
CREATE TABLE hold (
  session INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
  inode INTEGER NOT NULL REFERENCES inode (id),
  PRIMARY KEY (session, inode)
) STRICT, WITHOUT ROWID;
CREATE INDEX hold_by_inode ON hold (inode);

-- home: the directory that had its last name, or where that is gone the nearest above. Its grants count for what has no name.
CREATE TABLE unnamed (inode INTEGER PRIMARY KEY, home INTEGER NOT NULL) STRICT;
CREATE INDEX unnamed_by_home ON unnamed (home);
-- Of what a removed tree holds: the directory that the tree was in.
ALTER TABLE reclaim ADD COLUMN home INTEGER NOT NULL DEFAULT 1;
`,
  },
  {
    name: "0008-parts-and-holes",
    sql: `
-- An extent is the bytes of a chunk's plaintext from chunk_offset on. chunk_bytes: length of that plaintext, 0 for the extent's own: all
-- that is older is a whole chunk. What no extent covers is a hole, hole_bytes of the size in all.
ALTER TABLE extent ADD COLUMN chunk_offset INTEGER NOT NULL DEFAULT 0;
ALTER TABLE extent ADD COLUMN chunk_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inode ADD COLUMN hole_bytes INTEGER NOT NULL DEFAULT 0;
`,
  },
  {
    name: "0009-attribute-counts",
    sql: `
-- How many extended attributes it has: most have none, and nobody need ask for those.
ALTER TABLE inode ADD COLUMN attributes INTEGER NOT NULL DEFAULT 0;
UPDATE inode SET attributes = (SELECT count(*) FROM extended_attribute WHERE extended_attribute.inode = inode.id);
CREATE TRIGGER attribute_added AFTER INSERT ON extended_attribute BEGIN
  UPDATE inode SET attributes = attributes + 1 WHERE id = new.inode;
END;
CREATE TRIGGER attribute_removed AFTER DELETE ON extended_attribute BEGIN
  UPDATE inode SET attributes = attributes - 1 WHERE id = old.inode;
END;
`,
  },
];
