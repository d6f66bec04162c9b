/** One transfer of a demo: counted, timed, and shown while it runs on a terminal. */
import { formatDuration, formatRate, formatSize } from "../../core/units.ts";
import type { Io } from "../io.ts";
import { countOf, formatCount } from "../output/text.ts";
import { transferProgress } from "../progress.ts";

export interface Meter {
  readonly done: { readonly files: number; readonly bytes: number };
  measure<T>(work: (onProgress: (done: TreeAmount) => void) => Promise<T>): Promise<T>;
  setLabel(label: string): void;
  elapsedMs(): number;
  summary(): string;
}

export interface TreeAmount {
  readonly files: number;
  readonly bytes: number;
}

export function createMeter(io: Io, options: { readonly label: string; readonly total: TreeAmount }): Meter {
  const done = { files: 0, bytes: 0 };
  let elapsedMs = 0;
  const progress = transferProgress(io, options);
  return {
    done,
    measure: async (work) => {
      const startedMs = io.clock.monotonicMs();
      try {
        return await work(({ files, bytes }) => {
          done.files += files;
          done.bytes += bytes;
          progress.add({ files, bytes });
        });
      } finally {
        elapsedMs = io.clock.monotonicMs() - startedMs;
        progress.finish();
      }
    },
    setLabel: progress.setLabel,
    elapsedMs: () => elapsedMs,
    summary: () => {
      const seconds = Math.max(elapsedMs, 1) / 1000;
      const rates = `${formatRate(done.bytes / seconds)}, ${formatCount(Math.round(done.files / seconds))} files/s`;
      return `${countOf(done.files, "file")}, ${formatSize(done.bytes)} in ${formatDuration(elapsedMs)} (${rates})`;
    },
  };
}
