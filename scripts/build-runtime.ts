/**
 * Where the Bun of another platform comes from: the package that npm would install there, fetched
 * by npm itself and checked against the hash in our lockfile. Bun's own download is not used,
 * because it needs a second server that many networks do not let through.
 */
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type BuildTarget, describeExecutable } from "./build-target.ts";

const lockfileSchema = z.object({
  packages: z.record(z.string(), z.object({ version: z.string().optional(), integrity: z.string().optional() })),
});
const packReportSchema = z.array(z.object({ filename: z.string() })).length(1);

/**
 * Path of the Bun executable for `target`, from the cache in node_modules or fetched into it;
 * undefined when it is the platform that this process runs on.
 */
export async function runtimeOf(target: BuildTarget, root: string): Promise<string | undefined> {
  if (target === `${process.platform}-${process.arch}`) return undefined;
  const name = `@oven/bun-${target.replace("arm64", "aarch64")}`;
  const lockfile = lockfileSchema.parse(await Bun.file(join(root, "package-lock.json")).json());
  const entry = lockfile.packages[`node_modules/${name}`];
  if (entry?.version === undefined || entry.integrity === undefined) throw new Error(`package-lock.json does not name ${name}`);

  const cacheDirectory = join(root, "node_modules", ".cache", "collective");
  const runtimePath = join(cacheDirectory, `bun-${entry.version}-${target}`);
  if ((await Bun.file(runtimePath).exists()) && (await describeExecutable(runtimePath)) === target) return runtimePath;

  await mkdir(cacheDirectory, { recursive: true });
  const workDirectory = await mkdtemp(join(cacheDirectory, "fetch-"));
  try {
    const archivePath = join(workDirectory, await fetchPackage(`${name}@${entry.version}`, workDirectory));
    await checkIntegrity(archivePath, entry.integrity);
    await run(["tar", "-xzf", archivePath, "-C", workDirectory, "package/bin/bun"], root);
    await rename(join(workDirectory, "package", "bin", "bun"), runtimePath);
  } finally {
    await rm(workDirectory, { recursive: true, force: true });
  }
  return runtimePath;
}

async function fetchPackage(spec: string, directory: string): Promise<string> {
  const report = await run(["npm", "pack", spec, "--json", "--loglevel=error", "--pack-destination", directory], directory);
  const [packed] = packReportSchema.parse(JSON.parse(report));
  if (packed === undefined) throw new Error(`npm pack ${spec} reported nothing`);
  return packed.filename;
}

/** `integrity` is that of the lockfile: `sha512-` and base64. */
async function checkIntegrity(path: string, integrity: string): Promise<void> {
  const actual = `sha512-${new Bun.CryptoHasher("sha512").update(await Bun.file(path).arrayBuffer()).digest("base64")}`;
  if (actual !== integrity) throw new Error(`${path} is not what package-lock.json asks for`);
}

async function run(command: string[], cwd: string): Promise<string> {
  const child = Bun.spawn(command, { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (exitCode !== 0) throw new Error(`${command.slice(0, 3).join(" ")} failed: ${stderr.trim() || `exit code ${exitCode}`}`);
  return stdout;
}
