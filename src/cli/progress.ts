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

export interface HookedProgress extends Disposable {
  readonly hooks: {
    readonly onFound: (found: { readonly files: number; readonly bytes: number }) => void;
    readonly onProgress: (done: { readonly files: number; readonly bytes: number }) => void;
  };
  finish(): void;
}

/** For work that says first how much there is: measured in bytes, or in files where no byte moves. */
export function copyProgress(io: Io, label: string): HookedProgress {
  const progress = transferProgress(io, { label });
  return {
    hooks: {
      onFound: ({ files, bytes }) => progress.setTotal(bytes > 0 ? { files, bytes } : { files }),
      onProgress: (done) => progress.add(done),
    },
    finish: () => progress.finish(),
    [Symbol.dispose]: () => progress.finish(),
  };
}
