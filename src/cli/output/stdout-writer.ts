/**
 * Writes bytes to standard output and resolves when the system has them: the caller may use the
 * memory again, and a slow reader holds the writer up instead of filling its memory. A reader that
 * is gone is dealt with by src/main.ts, where the process ends.
 */

/** Of what a full pipe does not take the stream keeps a copy, so it is given little at a time. */
const pieceBytes = 64 * 1024;

export async function writeStdout(data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length; at += pieceBytes) await writePiece(data.subarray(at, at + pieceBytes));
}

function writePiece(piece: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(piece, (error) => (error ? reject(error) : resolve()));
  });
}
