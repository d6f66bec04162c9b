/** The schema that the tests of databases use. */
import type { Migration } from "../../src/db/database.ts";

export const testApplicationId = 0x54455354;
export const rowMigrations: readonly Migration[] = [
  { name: "0001-rows", sql: "CREATE TABLE row (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;" },
];
