/**
 * What each write has changed, for whoever observes it. Triggers of this connection note it inside the write's own transaction, so no
 * change can be forgotten by the code that makes it, and one that is undone leaves no trace. They exist only while somebody observes.
 */
import type { Inode } from "../../protocol/ids.ts";
import type { CollectiveDatabase } from "../db/database.ts";

export interface Change {
  readonly inode: Inode;
  /** Its datastore; 0 of the root, and of what is for everybody. */
  readonly store: number;
  /** `names`: it has gained, lost or changed a name. `content`: anything else of it, of a directory the names in it. `rights`: who may see what. */
  readonly kind: "content" | "names" | "rights";
}

export type ChangeListener = (changes: readonly Change[], session: string | undefined) => void;

export interface ChangeRecorder {
  /** The same database, whose writes are made by the client of that session, or by the coordinator itself. */
  recording(session: string | undefined): CollectiveDatabase;
  /** Of each write from now on, when it has become as durable as its caller asked for. One at a time. */
  observe(listener: ChangeListener): Disposable;
}

const kinds: readonly Change["kind"][] = ["content", "names", "rights"];

/** Extended attributes show in the inode's times. */
const triggers: Readonly<Record<string, string>> = {
  inode_changed: "AFTER UPDATE ON main.inode BEGIN INSERT INTO change VALUES (new.id, new.store, 0); END",
  name_added: "AFTER INSERT ON main.entry BEGIN INSERT INTO change SELECT id, store, 1 FROM main.inode WHERE id = new.inode; END",
  name_moved: "AFTER UPDATE ON main.entry BEGIN INSERT INTO change SELECT id, store, 1 FROM main.inode WHERE id = old.inode; END",
  name_removed: "AFTER DELETE ON main.entry BEGIN INSERT INTO change SELECT id, store, 1 FROM main.inode WHERE id = old.inode; END",
  right_granted: "AFTER INSERT ON main.access_grant BEGIN INSERT INTO change VALUES (0, 0, 2); END",
  right_changed: "AFTER UPDATE ON main.access_grant BEGIN INSERT INTO change VALUES (0, 0, 2); END",
  right_revoked: "AFTER DELETE ON main.access_grant BEGIN INSERT INTO change VALUES (0, 0, 2); END",
};

export function createChangeRecorder(db: CollectiveDatabase): ChangeRecorder {
  const { sqlite } = db;
  let listener: ChangeListener | undefined;
  const takeChanges = (): Change[] => {
    const rows = sqlite
      .query<{ inode: Inode; store: number; kind: number }, []>("SELECT DISTINCT inode, store, kind FROM temp.change")
      .all();
    if (rows.length > 0) sqlite.query("DELETE FROM temp.change").run();
    return rows.map(({ inode, store, kind }) => ({ inode, store, kind: kinds[kind] ?? "content" }));
  };
  const recorded =
    (submit: CollectiveDatabase["write"], session: string | undefined): CollectiveDatabase["write"] =>
    async (fn, weightBytes) => {
      let changes: Change[] = [];
      const value = await submit(() => {
        const answer = fn();
        if (listener) changes = takeChanges();
        return answer;
      }, weightBytes);
      if (changes.length > 0) listener?.(changes, session);
      return value;
    };
  return {
    recording: (session) => ({
      ...db,
      write: recorded(db.write, session),
      writeRelaxed: recorded(db.writeRelaxed, session),
    }),
    observe: (observer) => {
      sqlite.run("CREATE TEMP TABLE IF NOT EXISTS change (inode INTEGER, store INTEGER, kind INTEGER)");
      for (const [name, sql] of Object.entries(triggers)) sqlite.run(`CREATE TEMP TRIGGER IF NOT EXISTS ${name} ${sql}`);
      listener = observer;
      return {
        [Symbol.dispose]: () => {
          listener = undefined;
          for (const name of Object.keys(triggers)) sqlite.run(`DROP TRIGGER IF EXISTS temp.${name}`);
        },
      };
    },
  };
}
