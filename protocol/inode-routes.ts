/** The part of the control API that is about single files, known by their inodes: mounts need most of it. */
import { z } from "zod";
import { rights } from "./rights.ts";
import { route } from "./route.ts";
import {
  attrSchema,
  deviceSchema,
  entryRefSchema,
  extendedAttributeNameSchema,
  extendedAttributeSchema,
  inodeSchema,
  modeSchema,
  posixOwnerSchema,
  specialTypes,
  timeNsSchema,
} from "./schema.ts";

const empty = z.object({});

export const inodeRoutes = {
  getAttr: route("/v1/fs/attr", { input: z.object({ inode: inodeSchema }), output: attrSchema, idempotent: true }),
  setAttr: route("/v1/fs/setattr", {
    /** "now" by the coordinator's clock. */
    input: z.object({
      inode: inodeSchema,
      mode: modeSchema.optional(),
      ...posixOwnerSchema.shape,
      atimeNs: z.union([timeNsSchema, z.literal("now")]).optional(),
      mtimeNs: z.union([timeNsSchema, z.literal("now")]).optional(),
    }),
    output: attrSchema,
    idempotent: true,
  }),
  /** What has this name in a directory that may have moved; null when nothing has. */
  lookup: route("/v1/fs/lookup", { input: entryRefSchema, output: z.object({ attr: attrSchema.nullable() }), idempotent: true }),
  /** What the caller may do there now. */
  rightsOn: route("/v1/fs/rights", {
    input: z.object({ inode: inodeSchema }),
    output: z.object({ rights: z.array(z.enum(rights)) }),
    idempotent: true,
  }),
  makeNode: route("/v1/fs/mknod", {
    input: z.object({
      ...entryRefSchema.shape,
      ...posixOwnerSchema.shape,
      type: z.enum(specialTypes),
      mode: modeSchema,
      device: deviceSchema,
    }),
    output: attrSchema,
    idempotent: false,
  }),
  /** Another name for the same file, inside its datastore. */
  link: route("/v1/fs/link", { input: z.object({ inode: inodeSchema, to: entryRefSchema }), output: attrSchema, idempotent: false }),
  /** Each of two gets the other's name, in one step. */
  exchange: route("/v1/fs/exchange", {
    input: z.object({ one: entryRefSchema, other: entryRefSchema }),
    output: empty,
    idempotent: false,
  }),
  /** All of them, with their values. */
  extendedAttributes: route("/v1/fs/xattr/list", {
    input: z.object({ inode: inodeSchema }),
    output: z.object({ attributes: z.array(extendedAttributeSchema) }),
    idempotent: true,
  }),
  setExtendedAttribute: route("/v1/fs/xattr/set", {
    input: z.object({ inode: inodeSchema, attribute: extendedAttributeSchema, existing: z.enum(["either", "create", "replace"]) }),
    output: empty,
    idempotent: false,
  }),
  removeExtendedAttribute: route("/v1/fs/xattr/remove", {
    input: z.object({ inode: inodeSchema, name: extendedAttributeNameSchema }),
    output: empty,
    idempotent: false,
  }),
};
