import { mebibyte } from "../../../protocol/limits.ts";
import { formatDuration, formatSize, parseDuration, parseHostPort, parseSize } from "../../core/units.ts";
import { type Command, usage } from "../command.ts";
import { mountInBackground } from "../mount/background.ts";
import { runMount } from "../mount/run.ts";

/** Half of it is for what is written: a large file is sent in pieces of 64 MiB, and another piece is written meanwhile. */
const cacheBytesMin = 256 * mebibyte;
/** A copy that is silent for 2 s is left for the next one, and another client is waited for as long: both shall come first. */
const timeLimitMsMin = 5_000;

const command: Command = {
  name: "mount",
  description: "show the collective as a directory of this machine, for every program",
  positionals: [{ name: "PATH", description: "an empty directory on this machine" }],
  flags: [
    { name: "remote", description: "what to show: a directory of the collective", valueHint: "PATH", default: "/" },
    { name: "read-only", description: "refuse every change" },
    { name: "foreground", description: "stay, and print messages here, until Ctrl-C or umount" },
    {
      name: "cache-size",
      description: "room on this machine's disk: half for what was read, half for what is not stored yet",
      valueHint: "SIZE",
      default: "4GiB",
    },
    {
      name: "time-limit",
      description: "how long a call waits while the coordinator or nodes do not answer; then it fails",
      valueHint: "DURATION",
      default: "1m",
    },
    { name: "metrics-address", description: "serve metrics and health there", valueHint: "HOST:PORT" },
    { name: "allow-other", description: "other users of this machine, too, as the modes of the files allow" },
  ],
  example: "collective mount /mnt/collective --remote /photos",
  run: async ({ io, positionals, given, text, on }) => {
    const [mountPoint = ""] = positionals;
    const cacheSize = text("cache-size") ?? "";
    const cacheBytes = parseSize(cacheSize);
    if (cacheBytes < cacheBytesMin) throw usage(`--cache-size is at least ${formatSize(cacheBytesMin)}, not ${formatSize(cacheBytes)}`);
    const timeLimit = text("time-limit") ?? "";
    const timeLimitMs = parseDuration(timeLimit);
    if (timeLimitMs < timeLimitMsMin) throw usage(`--time-limit is at least ${formatDuration(timeLimitMsMin)}, not ${timeLimit}`);
    const remotePath = text("remote") ?? "/";
    const metricsText = given("metrics-address");
    const metricsAddress = metricsText === undefined ? undefined : parseHostPort(metricsText);
    if (on("foreground")) {
      const switches = { readOnly: on("read-only"), allowOther: on("allow-other") };
      await runMount(io, { mountPoint, remotePath, ...switches, cacheBytes, timeLimitMs, metricsAddress });
      return;
    }
    const switches = ["read-only", "allow-other"].filter(on).map((name) => `--${name}`);
    const logLevel = given("log-level");
    const passedOn = [
      ...["--remote", remotePath, "--cache-size", cacheSize, "--time-limit", timeLimit, ...switches],
      ...(metricsText === undefined ? [] : ["--metrics-address", metricsText]),
      ...(logLevel === undefined ? [] : ["--log-level", logLevel]),
      ...(io.contextName === undefined ? [] : ["--context", io.contextName]),
    ];
    await mountInBackground(io, { mountPoint, passedOn });
  },
};
export default command;
