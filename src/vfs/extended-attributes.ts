/**
 * Extended attributes. The kernel asks for `security.capability` of each file that is run or first written to, so what has none is not
 * asked about: the file's attributes say how many there are. Of others all come in one answer, which is believed as long as attributes are.
 */
import { CollectiveError } from "../../protocol/errors.ts";
import { routes } from "../../protocol/routes.ts";
import type { Clock } from "../core/clock.ts";
import type { FileSystem } from "./file-system.ts";
import { type Node, type Nodes, outdate } from "./nodes.ts";
import type { Replies } from "./replies.ts";

type AttributeCalls = Pick<
  FileSystem,
  "getExtendedAttribute" | "setExtendedAttribute" | "listExtendedAttributes" | "removeExtendedAttribute"
>;

export interface ExtendedAttributesOptions {
  readonly nodes: Nodes;
  readonly replies: Replies;
  readonly clock: Clock;
}

interface Known {
  readonly askedMs: number;
  readonly values: ReadonlyMap<string, Uint8Array>;
}

const none: Known["values"] = new Map();

export function createExtendedAttributes({ nodes, replies, clock }: ExtendedAttributesOptions): AttributeCalls {
  const known = new WeakMap<Node, Known>();
  const valuesOf = async (node: Node, signal: AbortSignal): Promise<Known["values"]> => {
    await replies.current(node, signal);
    if (node.attr.extendedAttributes === 0) return none;
    const last = known.get(node);
    const askedMs = clock.monotonicMs();
    if (last && replies.isBelieved(node.realm, node.number, last.askedMs)) return last.values;
    const { attributes } = await node.realm.remote.control.call(routes.extendedAttributes, { inode: node.inode }, { signal });
    const values = new Map(attributes.map(({ name, value }) => [name, value]));
    // Unless one was changed meanwhile.
    if (known.get(node) === last) known.set(node, { askedMs, values });
    return values;
  };
  const change = async (node: Node, run: () => Promise<unknown>): Promise<void> => {
    try {
      await run();
    } finally {
      // Whatever has become of it.
      known.set(node, { askedMs: Number.NEGATIVE_INFINITY, values: none });
      outdate(node);
    }
  };
  return {
    getExtendedAttribute: async (call, inode, name) => {
      const value = (await valuesOf(nodes.get(inode), call.signal)).get(name);
      if (!value) throw new CollectiveError("no_attribute", `there is no attribute ${name}`);
      return value;
    },
    setExtendedAttribute: async (call, inode, name, value, existing) => {
      const node = nodes.get(inode);
      const request = { inode: node.inode, attribute: { name, value: Uint8Array.from(value) }, existing };
      await change(node, () => node.realm.remote.control.call(routes.setExtendedAttribute, request, { signal: call.signal }));
    },
    listExtendedAttributes: async (call, inode) => {
      const names = [...(await valuesOf(nodes.get(inode), call.signal)).keys()];
      return call.caller.uid === 0 ? names : names.filter((name) => !name.startsWith("trusted."));
    },
    removeExtendedAttribute: async (call, inode, name) => {
      const node = nodes.get(inode);
      await change(node, () =>
        node.realm.remote.control.call(routes.removeExtendedAttribute, { inode: node.inode, name }, { signal: call.signal }),
      );
    },
  };
}
