/**
 * Writes bytes to standard output and resolves when the system has them: the caller may use the
 * memory again, and a slow reader holds the writer up instead of filling its memory. A reader that
 * is gone is dealt with by src/main.ts, where the process ends.
 */
export function writeStdout(data: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(data, (error) => (error ? reject(error) : resolve()));
  });
}
