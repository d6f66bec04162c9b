/** Somebody of the same site beside the administrator. */
import { join } from "node:path";
import { type CommandRunner, succeed } from "./e2e-commands.ts";
import { type Collective, type Environment, run } from "./process.ts";

export interface Guest extends CommandRunner {
  readonly env: Environment;
}

/** A person with a home and a context of her own, as the administrator and `init` make them. */
export async function guestOf(collective: Collective, name = "dora"): Promise<Guest> {
  const folder = join(collective.home.path, name);
  await succeed(collective, ["auth", "cert", "--kind", "user", "--name", name, "--output", folder]);
  const env = { ...collective.env, HOME: folder, COLLECTIVE_HOME: join(folder, ".collective") };
  const guest: Guest = { env, run: (args, options) => run(args, { env, ...options }) };
  const files = ["--ca-cert", join(folder, "ca.pem"), "--cert", join(folder, "cert.pem"), "--key", join(folder, "key.pem")];
  await succeed(guest, [
    "init",
    "--name",
    "home",
    "--coordinator",
    collective.coordinator.address,
    "--member",
    "alice@home.collective.local",
    ...files,
  ]);
  return guest;
}
