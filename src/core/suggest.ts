/** "Did you mean …": the known name closest to one that is not known. Inputs are short and few; cost is quadratic in their length. */

const comparedCharactersMax = 64;

/** The best of `candidates`, or undefined when none is close enough to be what was meant. */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = simplified(name);
  if (wanted === "" || wanted.length > comparedCharactersMax) return undefined;
  let best: { name: string; distance: number } | undefined;
  for (const candidate of candidates) {
    const known = simplified(candidate);
    const contained = wanted.length >= 4 && known.length >= 4 && (known.includes(wanted) || wanted.includes(known));
    // A name that is part of another one is a guess worth making, but worse than any misspelling.
    const limit = Math.max(1, Math.floor(Math.min(wanted.length, known.length) / 3));
    const distance = editDistance(wanted, known);
    const score = distance <= limit ? distance : contained ? limit + 1 : Number.POSITIVE_INFINITY;
    if (score < (best?.distance ?? Number.POSITIVE_INFINITY)) best = { name: candidate, distance: score };
  }
  return best?.name;
}

function simplified(name: string): string {
  return name.toLowerCase().replace(/[-_\s]/g, "");
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) distance = Math.min(distance, (beforePrevious[j - 2] ?? 0) + 1);
      row.push(distance);
    }
    beforePrevious = previous;
    previous = row;
  }
  return previous[b.length] ?? 0;
}
