import { CollectiveError } from "../../../protocol/errors.ts";
import { readRange } from "../../client/download.ts";
import { statPath } from "../../client/files.ts";
import { parseSize } from "../../core/units.ts";
import type { Command } from "../command.ts";
import { writeStdout } from "../output/stdout-writer.ts";
import { transferProgress } from "../progress.ts";
import { openSession } from "../session.ts";

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
    const session = await openSession(io);
    const attr = await statPath(session.remote, session.path(path).components, io.signal);
    if (attr.type !== "file")
      throw new CollectiveError(attr.type === "directory" ? "is_a_directory" : "invalid_argument", `${path} is a ${attr.type}, not a file`);
    const lengthBytes = Math.max(0, Math.min(length === undefined ? attr.sizeBytes : parseSize(length), attr.sizeBytes - offset));
    using progress = transferProgress(io, { label: "read", total: { bytes: lengthBytes } });
    for await (const piece of readRange(session.remote, { inode: attr.inode, offset, lengthBytes }, io.signal)) {
      await writeStdout(piece);
      progress.add({ bytes: piece.length });
    }
  },
};
export default command;
