/**
 * A process to be killed: writes rows from several writers at once and prints each number after its
 * write was acknowledged. Arguments: database, first number.
 */
import { writeSync } from "node:fs";
import { silentLog } from "../../src/core/log.ts";
import { openDatabase } from "../../src/db/database.ts";
import { rowMigrations, testApplicationId } from "./database-schema.ts";

const [path = "", first = "0"] = process.argv.slice(2);
const database = openDatabase({ path, applicationId: testApplicationId, migrations: rowMigrations, log: silentLog });
const insert = database.sqlite.query("INSERT INTO row (number, text) VALUES (?, ?)");
let next = Number(first);

async function writer(): Promise<void> {
  for (;;) {
    const number = next++;
    // Long enough for many checkpoints in a short life.
    await database.write(() => insert.run(number, "x".repeat(5_000)));
    writeSync(1, `${number}\n`);
  }
}
await Promise.all(Array.from({ length: 16 }, writer));
