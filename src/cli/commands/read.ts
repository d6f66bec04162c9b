import { CollectiveError } from "../../../protocol/errors.ts";
import { readRange } from "../../client/download.ts";
import { statPath } from "../../client/files.ts";
import { parseSize } from "../../core/units.ts";
import type { Command } from "../command.ts";
import { writeStdout } from "../output/stdout-writer.ts";
import { transferProgress } from "../progress.ts";
import { openSession } from "../session.ts";

/** A file that is replaced all the time is not read for ever. */
const attemptsMax = 10;

const command: Command = {
  name: "read",
  description: "print a file, or a part of it, to standard output",
  positionals: [{ name: "PATH", description: "the file to read", isPath: true }],
  flags: [
    { name: "offset", description: "where to begin", valueHint: "SIZE", default: "0" },
    { name: "length", description: "how much to read, all by default", valueHint: "SIZE" },
  ],
  example: "collective read /backup/photos.tar | tar -x",
  run: async ({ io, positionals, text }) => {
    const [path = ""] = positionals;
    const offset = parseSize(text("offset") ?? "0");
    const length = text("length");
    const lengthBytesMax = length === undefined ? Number.MAX_SAFE_INTEGER : parseSize(length);
    const { remote, components } = await (await openSession(io)).at(path);
    using progress = transferProgress(io, { label: "read" });
    for (let attempt = 1; ; attempt++) {
      const attr = await statPath(remote, components, io.signal);
      if (attr.type !== "file")
        throw new CollectiveError(
          attr.type === "directory" ? "is_a_directory" : "invalid_argument",
          `${path} is a ${attr.type}, not a file`,
        );
      const { inode, version: ifVersion, sizeBytes } = attr;
      const lengthBytes = Math.max(0, Math.min(lengthBytesMax, sizeBytes - offset));
      progress.setTotal({ bytes: lengthBytes });
      let written = false;
      try {
        for await (const piece of readRange(remote, { inode, offset, lengthBytes, ifVersion }, io.signal)) {
          written = true;
          await writeStdout(piece);
          progress.add({ bytes: piece.length });
        }
        return;
      } catch (error) {
        // Replaced since we looked: as long as nothing has left us, the new content does as well.
        if (written || attempt >= attemptsMax || !(error instanceof CollectiveError) || error.code !== "conflict") throw error;
      }
    }
  },
};
export default command;
