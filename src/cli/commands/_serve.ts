/** Runs roles until a signal; shared by `serve`, `coordinator` and `node`. */
import { readFile } from "node:fs/promises";
import { CollectiveError, toCollectiveError } from "../../../protocol/errors.ts";
import { loadServeConfig, type ServeConfig, type ServeRole, serveFlags } from "../../core/config.ts";
import { defaultCertValidityMs } from "../../core/config-values.ts";
import { createLog } from "../../core/log.ts";
import { createMetrics } from "../../core/metrics.ts";
import { ownCommand } from "../../core/program.ts";
import { startObservability } from "../../daemon/observability.ts";
import type { RunningRole, Surroundings } from "../../daemon/role.ts";
import type { Flag, Invocation } from "../command.ts";

const configFlag: Flag = { name: "config", short: "c", description: "configuration file (JSON)", valueHint: "FILE" };

export function serveFlagsFor(role: ServeRole | undefined): Flag[] {
  const roleFlag: Flag = { name: "role", description: "what to run", valueHint: "ROLE", values: ["coordinator", "node", "all"] };
  const rest = serveFlags
    .filter((flag) => role === undefined || (flag.roles as readonly ServeRole[]).includes(role))
    .map(
      ({ name, description, ...more }): Flag => ({
        name,
        description,
        ...("valueHint" in more ? { valueHint: more.valueHint } : {}),
        ...("default" in more ? { default: more.default } : {}),
      }),
    );
  return [...(role === undefined ? [roleFlag] : []), configFlag, ...rest];
}

export async function runServe(invocation: Invocation, role: ServeRole | undefined): Promise<void> {
  const { io } = invocation;
  const config = await readConfig(invocation, role);
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat,
    write: (line) => void io.stderr.write(`${line}\n`),
    wallMs: () => io.clock.wallMs(),
  });
  const around: Surroundings = {
    home: io.home,
    clock: io.clock,
    random: io.random,
    log,
    metrics: createMetrics(),
    program: ownCommand(),
  };
  const running: RunningRole[] = [];
  let observability: { stop(): Promise<void> } | undefined;
  try {
    const [first] = await startRoles(config, { around, running });
    if (!first) throw new CollectiveError("internal", "no role was started");
    observability = startObservability(running, config, around);
    io.stdout.write(`ready role=${config.role} name=${first.name} address=${first.address}\n`);
    await aborted(io.signal);
    log.info("stopping");
  } finally {
    await observability?.stop();
    for (const started of running.reverse()) await started.stop();
  }
}

async function readConfig(invocation: Invocation, role: ServeRole | undefined): Promise<ServeConfig> {
  const given = role ?? (invocation.text("role") as ServeRole | undefined);
  const path = invocation.text("config");
  const configFile =
    path === undefined ? undefined : { path, text: await readFile(path, "utf8").catch((error: unknown) => unreadable(path, error)) };
  const flags = Object.fromEntries(serveFlags.map((flag) => [flag.name, flagValue(invocation, flag)]));
  return loadServeConfig({ role: given, flags, environment: invocation.io.environment, configFile });
}

function flagValue(invocation: Invocation, flag: { readonly name: string; readonly valueHint?: string }): string | boolean | undefined {
  if (flag.valueHint !== undefined) return invocation.given(flag.name);
  return invocation.on(flag.name) ? true : undefined;
}

function unreadable(path: string, error: unknown): never {
  throw new CollectiveError("configuration", `cannot read ${path}: ${toCollectiveError(error).message}`);
}

async function startRoles(
  config: ServeConfig,
  { around, running }: { around: Surroundings; running: RunningRole[] },
): Promise<readonly RunningRole[]> {
  const { member, certDir } = config;
  // Each role loads its own half of the program only: it shows in the memory of an idle process.
  if (config.coordinator && member !== undefined) {
    const { startCoordinator } = await import("../../daemon/coordinator.ts");
    running.push(await startCoordinator({ member, config: config.coordinator, certDir }, around));
  }
  if (config.node) {
    const { startNode } = await import("../../daemon/node.ts");
    const [local] = running;
    const own = local && config.coordinator;
    const node = own ? { ...config.node, coordinatorAddress: local.address, enrolFrom: own.dataDir } : config.node;
    const certValidityMs = config.coordinator?.certValidityMs ?? defaultCertValidityMs;
    running.push(await startNode({ member, config: node, certDir: own ? undefined : certDir, certValidityMs }, around));
  }
  return running;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
