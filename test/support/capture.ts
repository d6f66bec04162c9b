/**
 * The output of a process while it comes in: what there is so far, and lines as soon as they are whole.
 */
const charsMax = 4_000_000;

export interface Capture {
  readonly ended: Promise<void>;
  /** The newest 4 million characters. */
  text(): string;
  /** Tries `match` on every whole line, past and to come, until it gives something. */
  find<T>(match: (line: string) => T | undefined): { readonly match: Promise<T>; stop(): void };
}

export function capture(stream: ReadableStream<Uint8Array>): Capture {
  let text = "";
  let unfinishedLine = "";
  const listeners = new Set<(line: string) => void>();
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      const chunk = decoder.decode(bytes, { stream: true });
      text = (text + chunk).slice(-charsMax);
      const lines = (unfinishedLine + chunk).split("\n");
      unfinishedLine = lines.pop() ?? "";
      for (const line of lines) for (const listen of listeners) listen(line);
    }
  };
  return {
    ended: read(),
    text: () => text,
    find: (match) => {
      const { promise, resolve } = Promise.withResolvers<NonNullable<ReturnType<typeof match>>>();
      const listen = (line: string): void => {
        const found = match(line);
        if (found !== undefined && found !== null) resolve(found);
      };
      listeners.add(listen);
      for (const line of text.split("\n").slice(0, -1)) listen(line);
      return { match: promise, stop: () => void listeners.delete(listen) };
    },
  };
}
