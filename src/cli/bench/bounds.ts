/**
 * What this machine can do at best: the costs that no transfer avoids, each measured alone. CPU
 * costs are seconds of one core per GiB, so they can be added up and spread over the cores.
 */
import { createCipheriv, randomFillSync } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { CollectiveError } from "../../../protocol/errors.ts";
import { parseGlobalName, siteOf } from "../../../protocol/ids.ts";
import { gibibyte, largeChunkBytes, mebibyte } from "../../../protocol/limits.ts";
import type { Clock } from "../../core/clock.ts";
import { createAuthority, createCsr } from "../../pki/authority.ts";
import { generateKeyPair } from "../../pki/keys.ts";

export interface Bounds {
  /** Sequential write of one file with a final fdatasync. */
  readonly diskWriteBytesPerSecond: number;
  readonly sha256CoreSecondsPerGib: number;
  readonly aesGcmCoreSecondsPerGib: number;
  /** Both ends of a raw TLS 1.3 stream with client certificate over loopback. */
  readonly tlsCoreSecondsPerGib: number;
}

const cpuSampleBytes = 512 * mebibyte;
const diskSampleBytes = gibibyte;
const tlsSampleBytes = gibibyte;
const pieceBytes = 64 * 1024;

export async function measureBounds({ dir, clock }: { readonly dir: string; readonly clock: Clock }): Promise<Bounds> {
  const block = randomBlock();
  return {
    diskWriteBytesPerSecond: await measureDisk(dir, { block, clock }),
    sha256CoreSecondsPerGib: measureCpu(() => void new Bun.CryptoHasher("sha256").update(block).digest()),
    aesGcmCoreSecondsPerGib: measureCpu(() => encryptBlock(block)),
    tlsCoreSecondsPerGib: await measureTls(clock),
  };
}

/** Random enough not to compress, and quick to make. */
export function randomBlock(): Uint8Array<ArrayBuffer> {
  return randomFillSync(new Uint8Array(largeChunkBytes));
}

function encryptBlock(block: Uint8Array): void {
  const cipher = createCipheriv("aes-256-gcm", block.subarray(0, 32), block.subarray(32, 44));
  for (let at = 0; at < block.length; at += pieceBytes) cipher.update(block.subarray(at, at + pieceBytes));
  cipher.final();
}

function measureCpu(work: () => void): number {
  work();
  const before = process.cpuUsage();
  for (let done = 0; done < cpuSampleBytes; done += largeChunkBytes) work();
  return (coreSecondsSince(before) * gibibyte) / cpuSampleBytes;
}

function coreSecondsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

async function measureDisk(dir: string, { block, clock }: { block: Uint8Array; clock: Clock }): Promise<number> {
  const path = join(dir, "disk-bound");
  const file = await open(path, "w");
  try {
    const startedMs = clock.monotonicMs();
    for (let at = 0; at < diskSampleBytes; at += block.length) await file.write(block, 0, block.length, at);
    await file.datasync();
    return (diskSampleBytes / (clock.monotonicMs() - startedMs)) * 1000;
  } finally {
    await file.close();
    await rm(path);
  }
}

/** One connection, one direction, both ends in this process: what it costs altogether shows in our own CPU time. */
async function measureTls(clock: Clock): Promise<number> {
  const { server, client, authorityPem } = await benchCertificates(clock);
  const block = randomBlock();
  const finished = Promise.withResolvers<void>();
  let received = 0;
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    tls: { ...server, ca: authorityPem, requestCert: true, rejectUnauthorized: true },
    socket: {
      data: (_, data) => {
        received += data.length;
        if (received >= tlsSampleBytes) finished.resolve();
      },
      error: (_, error) => finished.reject(error),
    },
  });
  let sent = 0;
  const fill = (socket: { write(data: Uint8Array): number }): void => {
    while (sent < tlsSampleBytes) {
      const from = sent % block.length;
      const written = socket.write(block.subarray(from, Math.min(block.length, from + tlsSampleBytes - sent)));
      if (written <= 0) return;
      sent += written;
    }
  };
  const before = process.cpuUsage();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: listener.port,
    tls: { ...client, ca: authorityPem, serverName: "bench-node.bench.collective.local" },
    socket: {
      handshake: (opened, success, error) =>
        success ? fill(opened) : finished.reject(error ?? new CollectiveError("internal", "the handshake failed")),
      drain: fill,
      data: () => undefined,
      error: (_, error) => finished.reject(error),
    },
  });
  await finished.promise;
  const seconds = coreSecondsSince(before);
  socket.end();
  listener.stop(true);
  return (seconds * gibibyte) / tlsSampleBytes;
}

async function benchCertificates(clock: Clock) {
  const member = parseGlobalName("bench@bench.collective.local");
  const authority = await createAuthority({ site: siteOf(member), member, clock });
  const issue = async (kind: "node" | "user", name: string) => {
    const { privateKeyPem } = generateKeyPair();
    const csrPem = await createCsr({ privateKeyPem, commonName: name });
    const identity = { kind, name: parseGlobalName(name) };
    return { key: privateKeyPem, cert: await authority.issue({ csrPem, identity, validityMs: 3_600_000, nowMs: clock.wallMs() }) };
  };
  return {
    server: await issue("node", "bench-node@bench.collective.local"),
    client: await issue("user", "bench@bench.collective.local"),
    authorityPem: authority.certificatePem,
  };
}
