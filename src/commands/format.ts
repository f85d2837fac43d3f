/** Numbers as text for the terminal. */

/** 950, 12.3k, 4.56M, three digits. */
export function shortNumber(value: number): string {
  const units = ["", "k", "M", "G", "T", "P", "E"];
  let unit = 0;
  let rest = value;
  while (rest >= 999.5 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  return `${rest >= 100 || unit === 0 ? Math.round(rest) : rest.toPrecision(3)}${units[unit]}`;
}

const YEAR = 365.25 * 86400;

/** 8 s, 3 min 20 s, 2 h 05 min, 3 d 4 h, 2.5 years. */
export function formatDuration(seconds: number): string {
  const s = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  if (s > 2 * YEAR) return `${(s / YEAR).toFixed(1)} years`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** 1 member, 2 members. */
export const counted = (n: number, noun: string) => `${n} ${noun}${n === 1 ? "" : "s"}`;

/** Said where members have more than one thread each. */
export const sharing = (threads: number) => (threads > 1 ? `, ${threads} on each member` : "");
