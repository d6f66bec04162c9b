import { siteOf } from "../../protocol/ids.ts";
import { createAuthority } from "../../src/pki/authority.ts";
import { startTestMember } from "../support/member.ts";
import { nodeNames } from "../support/metadata.ts";
import { alice, handClock } from "../support/pki.ts";
import { remoteMetadata } from "../support/remote-metadata.ts";
import { metadataStoreSuite } from "./metadata-store.ts";

const authority = createAuthority({ site: siteOf(alice), member: alice, clock: handClock() });

metadataStoreSuite({
  name: "over the control API",
  create: async () => {
    const member = await startTestMember({ authority: await authority });
    const metadata = await remoteMetadata(member, nodeNames);
    return { metadata, clock: member.clock, [Symbol.asyncDispose]: () => member[Symbol.asyncDispose]() };
  },
});
