/** The progress line of a transfer, on a terminal only. */
import type { Io } from "./io.ts";
import { createProgress, type Progress, type ProgressTotal } from "./output/progress.ts";

export function transferProgress(io: Io, { label, total }: { readonly label: string; readonly total?: ProgressTotal }): Progress {
  return createProgress({
    stream: io.stderr,
    clock: io.clock,
    label,
    unicode: io.err.unicode,
    colours: io.err.colours,
    ...(total ? { total } : {}),
  });
}
