/**
 * The one script that Node runs, so that a machine with Node, npm and git can do everything else:
 * it brings `node_modules` in line with the lockfile, finds the Bun that came with it, and hands over.
 *
 *   node scripts/bootstrap.mjs                      installs what is missing
 *   node scripts/bootstrap.mjs SCRIPT [ARGUMENT…]   the same, then runs SCRIPT by Bun
 *
 * It must work before anything is installed: plain JavaScript, nothing but Node's own modules.
 * The exit code is that of SCRIPT; signals go to it.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const nodeMajorMin = 20;

function fail(message, hint) {
  process.stderr.write(`bootstrap: ${message}\n${hint ? `${hint}\n` : ""}`);
  process.exit(1);
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), "utf8"));
  } catch {
    return undefined;
  }
}

/**
 * Compares what npm recorded as installed with what the lockfile asks for. Times would lie after a
 * change of branch, and an install that was interrupted leaves no record at all.
 */
function isInstalled(lock) {
  const installed = readJson("node_modules/.package-lock.json")?.packages;
  if (installed === undefined) return false;
  return Object.entries(lock.packages).every(([path, wanted]) => {
    if (path === "") return true;
    const found = installed[path];
    // Optional packages are those of other platforms; that ours is there is proved by Bun answering.
    if (found === undefined) return wanted.optional === true || wanted.devOptional === true;
    return found.version === wanted.version && found.integrity === wanted.integrity && existsSync(join(root, path));
  });
}

/**
 * The package `bun` is a placeholder until its install script has moved the executable of the
 * platform's own package into it. Where npm was told to run no install scripts, the executable is
 * still in that package.
 */
function findBun(version) {
  const platformPackages = join(root, "node_modules", "@oven");
  const names = existsSync(platformPackages) ? readdirSync(platformPackages) : [];
  const candidates = [
    join(root, "node_modules", "bun", "bin", "bun.exe"),
    ...names.map((name) => join(platformPackages, name, "bin", "bun")),
  ];
  return candidates.find((path) => {
    if (!existsSync(path)) return false;
    const answer = spawnSync(path, ["--version"], { encoding: "utf8" });
    return answer.status === 0 && answer.stdout.trim() === version;
  });
}

function install() {
  process.stderr.write("bootstrap: installing the dependencies of package-lock.json (npm ci)\n");
  try {
    // Whatever the person's own npm settings leave out by default, the build needs.
    const flags = ["--include=dev", "--include=optional", "--no-audit", "--no-fund", "--loglevel=error"];
    execFileSync("npm", ["ci", ...flags], { cwd: root, stdio: ["ignore", 2, 2] });
  } catch (error) {
    if (error.code === "ENOENT") fail("npm was not found", `Install npm, which comes with Node.js ${nodeMajorMin} or later.`);
    fail("npm ci failed", "Its own message is above; check the network and the registry that npm is set to use.");
  }
}

function run(bun, args) {
  const child = spawn(bun, args, { cwd: root, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`${bun} does not run: ${error.message}`));
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}

if (Number.parseInt(process.versions.node, 10) < nodeMajorMin) {
  fail(`Node.js ${process.versions.node} is too old`, `Install Node.js ${nodeMajorMin} or later.`);
}
const lock = readJson("package-lock.json");
if (lock === undefined) fail("package-lock.json is missing or not JSON", "Restore it with: git checkout package-lock.json");
const bunVersion = lock.packages["node_modules/bun"].version;

let bun = isInstalled(lock) ? findBun(bunVersion) : undefined;
if (bun === undefined) {
  install();
  bun = findBun(bunVersion);
}
if (bun === undefined) {
  fail(
    `no Bun ${bunVersion} for ${process.platform} ${process.arch} runs here`,
    "Linux (glibc or musl) and macOS on x64 and arm64 are supported.",
  );
}
const args = process.argv.slice(2);
if (args.length > 0) run(bun, args);
