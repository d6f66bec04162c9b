/** All commands. A file is loaded only when its command is called, so that each starts as fast as it can. */
import type { Command, CommandGroup } from "./command.ts";

export interface Listed {
  readonly description: string;
  /** In the overview; a command without one is not for people. */
  readonly section?: string;
  readonly load: () => Promise<Command | CommandGroup>;
}

const files = "Files";
const stores = "Stores and rights";
const serving = "Serving";
const contexts = "Identity and contexts";
const collective = "The collective";

export const commands: Readonly<Record<string, Listed>> = {
  serve: {
    section: serving,
    description: "run a coordinator, a node or both",
    load: async () => (await import("./commands/serve.ts")).default,
  },
  coordinator: {
    section: serving,
    description: "the same as serve --role coordinator",
    load: async () => (await import("./commands/coordinator.ts")).default,
  },
  node: { section: serving, description: "the same as serve --role node", load: async () => (await import("./commands/node.ts")).default },
  demo: {
    section: serving,
    description: "a whole collective on this machine, tried out with real files",
    load: async () => (await import("./commands/demo.ts")).default,
  },
  mkdir: {
    section: files,
    description: "make directories; in the root, datastores",
    load: async () => (await import("./commands/mkdir.ts")).default,
  },
  ls: { section: files, description: "list a directory", load: async () => (await import("./commands/ls.ts")).default },
  write: { section: files, description: "store standard input as a file", load: async () => (await import("./commands/write.ts")).default },
  read: { section: files, description: "print a file to standard output", load: async () => (await import("./commands/read.ts")).default },
  put: { section: files, description: "store local files and trees", load: async () => (await import("./commands/put.ts")).default },
  get: { section: files, description: "fetch files and trees", load: async () => (await import("./commands/get.ts")).default },
  rm: { section: files, description: "remove files and trees", load: async () => (await import("./commands/rm.ts")).default },
  mv: { section: files, description: "move or rename", load: async () => (await import("./commands/mv.ts")).default },
  cp: {
    section: files,
    description: "copy inside a member or between members",
    load: async () => (await import("./commands/cp.ts")).default,
  },
  stat: { section: files, description: "everything about one file", load: async () => (await import("./commands/stat.ts")).default },
  du: { section: files, description: "how much a tree takes", load: async () => (await import("./commands/du.ts")).default },
  df: { section: files, description: "how full the nodes are", load: async () => (await import("./commands/df.ts")).default },
  verify: {
    section: files,
    description: "read and compare every copy of every chunk",
    load: async () => (await import("./commands/verify.ts")).default,
  },
  client: { section: files, description: "older names of put and get", load: async () => (await import("./commands/client.ts")).default },
  store: {
    section: stores,
    description: "create, list, show, set and remove datastores",
    load: async () => (await import("./commands/store.ts")).default,
  },
  identity: {
    section: contexts,
    description: "who you are, and the collectives you belong to",
    load: async () => (await import("./commands/identity.ts")).default,
  },
  invite: {
    section: contexts,
    description: "codes that let friends and nodes in: make, list, revoke and redeem them",
    load: async () => (await import("./commands/invite.ts")).default,
  },
  access: {
    section: stores,
    description: "grant, list and revoke other people's rights",
    load: async () => (await import("./commands/access.ts")).default,
  },
  init: { section: contexts, description: "make a context by hand", load: async () => (await import("./commands/init.ts")).default },
  config: {
    section: contexts,
    description: "list, choose and delete contexts",
    load: async () => (await import("./commands/config.ts")).default,
  },
  auth: {
    section: contexts,
    description: "certificates: show, make and issue",
    load: async () => (await import("./commands/auth.ts")).default,
  },
  status: { section: collective, description: "how the collective is", load: async () => (await import("./commands/status.ts")).default },
  federation: {
    section: collective,
    description: "other members: peer with them, see how they are",
    load: async () => (await import("./commands/federation.ts")).default,
  },
  bench: {
    section: collective,
    description: "measure this machine and this collective",
    load: async () => (await import("./commands/bench.ts")).default,
  },
  completion: {
    section: collective,
    description: "print a completion script for a shell",
    load: async () => (await import("./commands/completion.ts")).default,
  },
  "issue-certificates": {
    description: "used by the coordinator itself",
    load: async () => (await import("./commands/issue-certificates.ts")).default,
  },
};
