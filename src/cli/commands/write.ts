import { filePlaceOf } from "../../client/files.ts";
import { createIngest } from "../../client/ingest.ts";
import { descriptorSource } from "../../client/sources.ts";
import type { Command } from "../command.ts";
import { transferProgress } from "../progress.ts";
import { openSession } from "../session.ts";
import { warnDegraded } from "../warnings.ts";

const stdinFd = 0;

const command: Command = {
  name: "write",
  description: "store standard input as a file, replacing what is there",
  positionals: [{ name: "PATH", description: "the file to write", isPath: true }],
  example: "tar -c photos | collective write /backup/photos.tar",
  run: async ({ io, positionals }) => {
    const [text = ""] = positionals;
    const { remote, components } = await (await openSession(io)).at(text);
    const place = await filePlaceOf(remote, components, io.signal);
    using progress = transferProgress(io, { label: "write" });
    const ingest = createIngest(remote, { signal: io.signal, onProgress: (bytes) => progress.add({ bytes }) });
    const mtimeNs = BigInt(Math.trunc(io.clock.wallMs())) * 1_000_000n;
    await ingest.add(
      { parent: place.parent.inode, name: place.name, store: place.store, mode: place.existing?.mode ?? 0o644, mtimeNs },
      descriptorSource(stdinFd, io),
    );
    const totals = await ingest.finish();
    progress.finish();
    warnDegraded(io, totals);
  },
};
export default command;
