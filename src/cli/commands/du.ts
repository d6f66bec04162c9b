import { routes } from "../../../protocol/routes.ts";
import { statPath } from "../../client/files.ts";
import { formatSize } from "../../core/units.ts";
import { type Command, jsonFlag } from "../command.ts";
import { printJson } from "../output/json.ts";
import { renderFields } from "../output/table.ts";
import { formatCount, printable } from "../output/text.ts";
import { openSession } from "../session.ts";

const command: Command = {
  name: "du",
  description: "how much a file or a tree takes",
  positionals: [{ name: "PATH", description: "what to measure, / by default", optional: true, isPath: true }],
  flags: [jsonFlag],
  example: "collective du /media/films",
  run: async ({ io, positionals, on }) => {
    const [text = "/"] = positionals;
    const { remote, components } = await (await openSession(io)).at(text);
    const attr = await statPath(remote, components, io.signal);
    const usage = await remote.control.call(routes.usage, { inode: attr.inode }, { signal: io.signal });
    if (on("json")) {
      const { files, directories, logicalBytes, storedBytes } = usage;
      printJson({ path: text, files, directories, size: logicalBytes, stored_size: storedBytes }, io.stdout);
      return;
    }
    const fields = renderFields({
      fields: [
        ["path", printable(text)],
        ["files", formatCount(usage.files)],
        ["directories", formatCount(usage.directories)],
        ["size", formatSize(usage.logicalBytes)],
        ["stored", `${formatSize(usage.storedBytes)} in each copy`],
      ],
      colours: io.out.colours,
    });
    io.stdout.write(`${fields}\n`);
  },
};
export default command;
