/** Things that went well but not quite as asked. */
import type { Io } from "./io.ts";

export function warnDegraded(io: Io, degradedChunks: number): void {
  if (degradedChunks === 0) return;
  const chunks = degradedChunks === 1 ? "1 chunk has" : `${degradedChunks} chunks have`;
  io.stderr.write(
    `${io.err.colours.warn("stored, but degraded:")} ${chunks} fewer copies than the datastore asks for; see: collective status\n`,
  );
}
