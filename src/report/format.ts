/** Numbers as text for tables and captions. */

/** A thin space groups thousands, so that a step reads the same in every language. */
export function formatStep(step: number | null | undefined): string {
  return step === null || step === undefined ? "–" : String(step).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** Three significant digits, plain notation between 0.001 and 100 000. */
export function formatNumber(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5)
    return value.toExponential(1).replace("e", "\u202f×\u202f10^").replace("^+", "^");
  return size >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** A fraction as a percentage with one decimal. */
export function formatPercent(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value)
    ? "–"
    : `${(100 * value).toFixed(1)}\u202f%`;
}

const ORDINALS = new Intl.PluralRules("en", { type: "ordinal" });
const ENDINGS: Partial<Record<Intl.LDMLPluralRule, string>> = { one: "st", two: "nd", few: "rd" };

/** 1st, 2nd, 3rd, 4th, 11th, 21st. */
export function ordinal(n: number): string {
  return `${n}${ENDINGS[ORDINALS.select(n)] ?? "th"}`;
}

/** A fraction as a whole percentage. */
export function formatShare(value: number | null): string {
  return value === null ? "–" : `${Math.round(100 * value)}\u202f%`;
}

/** Where a step lies, with the name of the other one still to come: 0.50 octaves after, or at. */
export function formatOctaves(step: number, other: number): string {
  const octaves = Math.log2(step / Math.max(1, other));
  if (Math.abs(octaves) < 0.005) return "at";
  return `${Math.abs(octaves).toFixed(2)} octaves ${octaves < 0 ? "before" : "after"}`;
}
