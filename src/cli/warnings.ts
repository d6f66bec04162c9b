/** Things that went well but not quite as asked. */
import type { Io } from "./io.ts";
import { printable } from "./output/text.ts";

export function warnDegraded(
  io: Io,
  { degradedChunks, because }: { readonly degradedChunks: number; readonly because: readonly string[] },
): void {
  if (degradedChunks === 0) return;
  const chunks = degradedChunks === 1 ? "1 chunk has" : `${degradedChunks} chunks have`;
  io.stderr.write(
    `${io.err.colours.warn("stored, but degraded:")} ${chunks} fewer copies than the datastore asks for; see: collective status\n`,
  );
  for (const reason of because) io.stderr.write(`  ${printable(reason)}\n`);
}
