/** What an invite is for. */
export const inviteKinds = ["person", "node", "member"] as const;
export type InviteKind = (typeof inviteKinds)[number];
