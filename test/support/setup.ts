/** Loaded before the tests (bunfig.toml): what is shared by all test files ends with the last of them. */
import { afterAll } from "bun:test";
import { cleanUp } from "./process.ts";
import { searchedSoFar } from "./transcripts.ts";

afterAll(() => {
  cleanUp();
  const { secrets, transcripts } = searchedSoFar();
  if (transcripts > 0) console.log(`searched what ${transcripts} processes were told and said for ${secrets} secrets`);
});
