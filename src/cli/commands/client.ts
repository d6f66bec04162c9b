import type { Command, CommandGroup } from "../command.ts";
import { usage } from "../command.ts";
import { getPaths, putPaths } from "./_transfer.ts";

const idFlag = { name: "id", description: "the path in the collective", valueHint: "PATH" };

const store: Command = {
  name: "store",
  description: "store a local file; now called put",
  flags: [{ name: "file", description: "the local file", valueHint: "FILE" }, idFlag],
  example: "collective client store --file film.mkv --id /media/film.mkv",
  run: async ({ io, given }) => {
    const [file, id] = [given("file"), given("id")];
    if (file === undefined) throw usage("--file is missing");
    if (id === undefined) throw usage("--id is missing");
    await putPaths(io, { sources: [file], target: id, recursive: false });
  },
};

const retrieve: Command = {
  name: "retrieve",
  description: "fetch a file; now called get",
  flags: [idFlag, { name: "output", description: "the local file", valueHint: "FILE" }],
  example: "collective client retrieve --id /media/film.mkv --output film.mkv",
  run: async ({ io, given }) => {
    const [id, output] = [given("id"), given("output")];
    if (id === undefined) throw usage("--id is missing");
    if (output === undefined) throw usage("--output is missing");
    await getPaths(io, { sources: [id], target: output, recursive: false });
  },
};

const group: CommandGroup = { name: "client", description: "older names of put and get", commands: [store, retrieve] };
export default group;
