import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { gibibyte } from "../../../protocol/limits.ts";
import { formatRate, formatSize, parseSize } from "../../core/units.ts";
import { commit, version } from "../../core/version.ts";
import { type Bounds, measureBounds } from "../bench/bounds.ts";
import { benchLargeFile, benchSmallFiles } from "../bench/transfers.ts";
import { type Command, jsonFlag } from "../command.ts";
import type { Io } from "../io.ts";
import { printJson } from "../output/json.ts";
import { renderTable } from "../output/table.ts";
import { openSession } from "../session.ts";

/** How often each byte of a transfer is hashed by somebody who must: for its key and its id by the writer, for its id by the node; for its id by a reader. */
const hashesPerPut = 3;
const hashesPerGet = 1;

const command: Command = {
  name: "bench",
  description: "measure what this machine could do at best, and how near this collective comes to it",
  flags: [
    { name: "size", description: "of the large file", valueHint: "SIZE", default: "1GiB" },
    { name: "files", description: "number of small files of 4 KiB", valueHint: "N", default: "5000" },
    { name: "dir", description: "where the local files are made, needs about four times the size", valueHint: "DIR", default: "." },
    jsonFlag,
  ],
  example: "collective bench --size 256MiB --dir /var/tmp",
  run: async ({ io, text, on }) => {
    const sizeBytes = parseSize(text("size") ?? "1GiB");
    const files = parseSize(text("files") ?? "5000");
    const session = await openSession(io);
    const dir = await mkdtemp(join(text("dir") ?? ".", "collective-bench-"));
    try {
      const bounds = await measureBounds({ dir, clock: io.clock });
      const large = await benchLargeFile(session.remote, sizeBytes, { dir, signal: io.signal });
      const small = await benchSmallFiles(session.remote, files, { dir, signal: io.signal });
      report(io, { json: on("json"), result: summarize({ bounds, sizeBytes, files, large, small }) });
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  },
};
export default command;

interface Measured {
  readonly bounds: Bounds;
  readonly sizeBytes: number;
  readonly files: number;
  readonly large: { readonly putSeconds: number; readonly getSeconds: number };
  readonly small: { readonly putSeconds: number; readonly getSeconds: number; readonly copySeconds: number };
}

function summarize({ bounds, sizeBytes, files, large, small }: Measured) {
  const cores = availableParallelism();
  const cpuBound = (hashes: number): number => {
    const secondsPerGib = bounds.tlsCoreSecondsPerGib + hashes * bounds.sha256CoreSecondsPerGib + bounds.aesGcmCoreSecondsPerGib;
    return (gibibyte * cores) / secondsPerGib;
  };
  // Both end on a disk: at the nodes, or in the fetched file.
  const putBound = Math.min(cpuBound(hashesPerPut), bounds.diskWriteBytesPerSecond);
  const getBound = Math.min(cpuBound(hashesPerGet), bounds.diskWriteBytesPerSecond);
  const put = sizeBytes / large.putSeconds;
  const get = sizeBytes / large.getSeconds;
  return {
    version,
    commit,
    machine: { cpu: cpus()[0]?.model ?? "unknown", cores, platform: `${process.platform}-${process.arch}` },
    bounds: {
      disk_write_bytes_per_s: Math.round(bounds.diskWriteBytesPerSecond),
      tls_core_s_per_gib: bounds.tlsCoreSecondsPerGib,
      sha256_core_s_per_gib: bounds.sha256CoreSecondsPerGib,
      aes_gcm_core_s_per_gib: bounds.aesGcmCoreSecondsPerGib,
      put_cpu_bytes_per_s: Math.round(cpuBound(hashesPerPut)),
      get_cpu_bytes_per_s: Math.round(cpuBound(hashesPerGet)),
      put_bytes_per_s: Math.round(putBound),
      get_bytes_per_s: Math.round(getBound),
    },
    large_file: {
      size: sizeBytes,
      put_bytes_per_s: Math.round(put),
      put_of_bound: put / putBound,
      get_bytes_per_s: Math.round(get),
      get_of_bound: get / getBound,
    },
    small_files: {
      files,
      put_files_per_s: files / small.putSeconds,
      get_files_per_s: files / small.getSeconds,
      cp_and_sync_files_per_s: files / small.copySeconds,
      put_to_cp: small.copySeconds / small.putSeconds,
    },
  };
}

type Summary = ReturnType<typeof summarize>;

function report(io: Io, { json, result }: { json: boolean; result: Summary }): void {
  if (json) {
    printJson(result, io.stdout);
    return;
  }
  const { bounds, large_file: large, small_files: small } = result;
  const percent = (share: number) => `${Math.round(share * 100)} %`;
  const table = renderTable({
    columns: [
      { header: "WHAT" },
      { header: "MEASURED", align: "right" },
      { header: "BOUND", align: "right" },
      { header: "OF BOUND", align: "right" },
    ],
    rows: [
      [
        `put ${formatSize(large.size)}, 1 copy`,
        formatRate(large.put_bytes_per_s),
        formatRate(bounds.put_bytes_per_s),
        percent(large.put_of_bound),
      ],
      [`get ${formatSize(large.size)}`, formatRate(large.get_bytes_per_s), formatRate(bounds.get_bytes_per_s), percent(large.get_of_bound)],
      [
        `put ${small.files} files of 4 KiB, 2 copies`,
        `${Math.round(small.put_files_per_s)} files/s`,
        `cp + sync: ${Math.round(small.cp_and_sync_files_per_s)} files/s`,
        percent(small.put_to_cp),
      ],
      [`get ${small.files} files of 4 KiB`, `${Math.round(small.get_files_per_s)} files/s`, "", ""],
    ],
    width: io.out.columns,
    colours: io.out.colours,
    unicode: io.out.unicode,
  });
  io.stdout.write(`${result.machine.cores} × ${result.machine.cpu}\n${table}\n`);
}
