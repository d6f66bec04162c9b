/** Loaded before the tests (bunfig.toml): what is shared by all test files ends with the last of them. */
import { afterAll } from "bun:test";
import { cleanUp } from "./process.ts";

afterAll(cleanUp);
