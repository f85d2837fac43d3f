/** What a misspelt name was meant to be. */

/**
 * The name nearest to what was written, by the last part of dotted names or by the whole; undefined if none is near.
 */
export function nearestName(written: string, names: readonly string[]): string | undefined {
  const fold = (name: string) => name.replaceAll(/[_-]/g, "").toLowerCase();
  const leaf = (name: string) => name.slice(name.lastIndexOf(".") + 1);
  const share = (a: string, b: string) => editDistance(fold(a), fold(b)) / fold(b).length;
  const [best] = names
    .map((name) => ({ name, whole: share(written, name), last: share(leaf(written), leaf(name)) }))
    // Between equally near last parts the whole name decides.
    .sort((a, b) => Math.min(a.whole, a.last) - Math.min(b.whole, b.last) || a.whole - b.whole);
  return best !== undefined && Math.min(best.whole, best.last) <= 0.5 ? best.name : undefined;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++)
      row[j] = Math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    previous = row;
  }
  return previous[b.length];
}
