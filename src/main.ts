/**
 * The executable: signals in, exit code out. It is also what its own threads run: they serve a mount and nothing else, so each side
 * loads only what it needs.
 */
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import { exitCodeOf, toCollectiveError } from "../protocol/errors.ts";

/** npm passes on the Ctrl-C that the terminal has sent here already: what a person means a second time comes later. */
const secondSignalAfterMs = 300;
/** What is still on its way into a pipe would be lost with the process. */
const flushTimeoutMs = 1_000;

async function run(): Promise<never> {
  const { runCli } = await import("./cli/run.ts");
  const stopping = new AbortController();
  let stoppingSinceMs = 0;
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      // The first signal asks for a clean stop, the second one means it.
      if (stopping.signal.aborted && performance.now() - stoppingSinceMs > secondSignalAfterMs) process.exit(130);
      if (!stopping.signal.aborted) stoppingSinceMs = performance.now();
      stopping.abort();
    });
  }

  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // A reader that closes early, like `head`, is not a failure of ours.
    if (error.code === "EPIPE") process.exit(0);
    const { code, message } = toCollectiveError(error);
    writeSync(2, `collective: cannot write to standard output: ${message} (${code})\n`);
    process.exit(exitCodeOf[code]);
  });

  const exitCode = await runCli({
    argv: process.argv.slice(2),
    environment: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: stopping.signal,
  });

  // What is still on its way into a pipe would be lost with the process. A reader that does not read holds
  // up nobody who was told to stop.
  const flushed = Promise.all(
    [process.stdout, process.stderr].map((stream) => new Promise<void>((resolve) => stream.end(() => resolve()))),
  );
  const waitedEnough = new Promise<void>((resolve) => {
    const stop = (): void => void setTimeout(resolve, flushTimeoutMs);
    if (stopping.signal.aborted) stop();
    else stopping.signal.addEventListener("abort", stop);
  });
  await Promise.race([flushed, waitedEnough]);
  process.exit(exitCode);
}

if (isMainThread) await run();
else (await import("./fuse/threads.ts")).serveThread();
