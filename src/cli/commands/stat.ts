import { type Site, siteOf } from "../../../protocol/ids.ts";
import { kibibyte } from "../../../protocol/limits.ts";
import { formatPath } from "../../../protocol/path.ts";
import { routes } from "../../../protocol/routes.ts";
import type { Attr, ListedStore } from "../../../protocol/schema.ts";
import { statPath } from "../../client/files.ts";
import { layoutOf, type PlacedChunk } from "../../client/layout.ts";
import { type NodesShown, nodesShown } from "../../client/nodes-shown.ts";
import { formatSize } from "../../core/units.ts";
import { type Command, jsonFlag } from "../command.ts";
import type { Io } from "../io.ts";
import { chunkFields, chunkTable } from "../output/chunks.ts";
import { formatMode, formatTime, rfc3339 } from "../output/entries.ts";
import { printJson } from "../output/json.ts";
import { redundancyText } from "../output/store-text.ts";
import { type Cell, renderFields } from "../output/table.ts";
import { openSession } from "../session.ts";

const command: Command = {
  name: "stat",
  description: "everything about one file: attributes, chunks and where their copies are",
  positionals: [{ name: "PATH", description: "a file, link or directory", isPath: true }],
  flags: [jsonFlag],
  example: "collective stat /media/films/a.mkv",
  run: async ({ io, positionals, on }) => {
    const [text = ""] = positionals;
    const session = await openSession(io);
    const { remote, components, member } = await session.at(text);
    const attr = await statPath(remote, components, io.signal);
    const [{ stores }, chunks] = await Promise.all([
      remote.control.call(routes.listStores, {}, { signal: io.signal }),
      attr.type === "file" ? layoutOf(remote, attr.inode, io.signal) : [],
    ]);
    const found: Found = {
      path: formatPath({ member, components }),
      attr,
      chunks,
      store: stores.find((store) => store.inode === attr.store),
    };
    if (on("json")) {
      printJson(jsonOf(found), io.stdout);
      return;
    }
    printFound(io, found, { home: siteOf(member ?? session.member), shown: await nodesShown(remote, io.signal) });
  },
};
export default command;

interface Found {
  readonly path: string;
  readonly attr: Attr;
  readonly chunks: readonly PlacedChunk[];
  readonly store: ListedStore | undefined;
}

function jsonOf({ path, attr, chunks, store }: Found): Record<string, unknown> {
  return {
    path,
    type: attr.type,
    size: attr.sizeBytes,
    mtime: rfc3339(attr.mtimeNs),
    mode: attr.mode,
    owner: attr.owner,
    inode: attr.inode,
    version: attr.version,
    store: store?.name ?? null,
    redundancy: store ? redundancyText(store.policy) : null,
    ...(attr.target === undefined ? {} : { target: attr.target }),
    chunks: chunks.map(({ id, plainBytes, storedBytes, codec, copies }) => ({
      id,
      size: plainBytes,
      stored_size: storedBytes,
      codec,
      copies,
    })),
  };
}

interface Surroundings {
  /** Nodes of other sites are named with theirs. */
  readonly home: Site;
  readonly shown: NodesShown | undefined;
}

function printFound(io: Io, { path, attr, chunks, store }: Found, { home, shown }: Surroundings): void {
  const nodes = shown ? [...shown.nodes, ...shown.elsewhere.nodes] : [];
  const { colours } = io.out;
  const fields: [string, Cell][] = [
    ["path", { text: path, paint: colours.bold }],
    ["type", attr.target === undefined ? attr.type.replace("_", " ") : `${attr.type} to ${attr.target}`],
    ...(attr.type === "directory"
      ? []
      : [
          [
            "size",
            attr.sizeBytes < kibibyte ? formatSize(attr.sizeBytes) : `${formatSize(attr.sizeBytes)} (${attr.sizeBytes} bytes)`,
          ] satisfies [string, Cell],
        ]),
    ["modified", `${formatTime(attr.mtimeNs)} UTC`],
    ["mode", `${formatMode(attr)} (${attr.mode.toString(8).padStart(4, "0")})`],
    ["owner", attr.owner || "-"],
    ...(attr.uid === null && attr.gid === null
      ? []
      : [["user and group", `${attr.uid ?? "-"}:${attr.gid ?? "-"}`] satisfies [string, Cell]]),
    ...(attr.type === "directory" || attr.links < 2 ? [] : [["names", attr.links] satisfies [string, Cell]]),
    ["inode", attr.inode],
    ["version", attr.version],
    ["store", store?.name ?? "-"],
    ["redundancy", store ? redundancyText(store.policy) : "-"],
  ];
  if (attr.type === "file") fields.push(...chunkFields({ chunks, nodes, replicas: store?.policy.replicas ?? 1 }, colours));
  io.stdout.write(`${renderFields({ fields, colours })}\n`);
  if (chunks.length > 0) io.stdout.write(`\n${chunkTable({ chunks, nodes, home }, io.out)}\n`);
}
