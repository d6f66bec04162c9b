/**
 * The platforms that the executable is built for, and how a file tells which of them it is for.
 */
export const buildTargets = ["linux-x64", "linux-arm64", "darwin-arm64", "darwin-x64"] as const;
export type BuildTarget = (typeof buildTargets)[number];

export function isBuildTarget(name: string): name is BuildTarget {
  return (buildTargets as readonly string[]).includes(name);
}

const headerBytes = 20;
const elfMagic = 0x7f454c46;
const machO64Magic = 0xfeedfacf;
/** `e_machine` of ELF and `cputype` of Mach-O. */
const elfMachines: ReadonlyMap<number, BuildTarget> = new Map([
  [0x3e, "linux-x64"],
  [0xb7, "linux-arm64"],
]);
const machOCpus: ReadonlyMap<number, BuildTarget> = new Map([
  [0x01000007, "darwin-x64"],
  [0x0100000c, "darwin-arm64"],
]);

/** Undefined for anything but a 64-bit little-endian ELF or Mach-O of a known processor. */
export async function describeExecutable(path: string): Promise<BuildTarget | undefined> {
  const header = new DataView(await Bun.file(path).slice(0, headerBytes).arrayBuffer());
  if (header.byteLength < headerBytes) return undefined;
  if (header.getUint32(0) === elfMagic) return elfMachines.get(header.getUint16(18, true));
  if (header.getUint32(0, true) === machO64Magic) return machOCpus.get(header.getUint32(4, true));
  return undefined;
}
