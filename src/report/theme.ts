/**
 * One set of colours for every figure and page. A figure names a role; the role becomes a CSS variable, so one SVG
 * follows the reader's light or dark preference, or is resolved to fixed colours for a stand-alone file.
 *
 * The data colours are separated in lightness as well as hue (after Okabe and Ito's colour-blind-safe set) and have a
 * contrast of at least 3:1 with the paper of either scheme.
 */

const roles = {
  paper: { light: "#ffffff", dark: "#15181d" },
  panel: { light: "#f6f7f9", dark: "#1d2127" },
  ink: { light: "#1b1f24", dark: "#e6e8eb" },
  muted: { light: "#5d6671", dark: "#a3abb6" },
  rule: { light: "#d9dde2", dark: "#353b44" },
  link: { light: "#0a5fa8", dark: "#74b9f5" },
  blue: { light: "#0b6cb3", dark: "#5fb0ee" },
  vermillion: { light: "#d0520a", dark: "#f58b4c" },
  green: { light: "#0a8060", dark: "#3fc49b" },
  purple: { light: "#8e4ba3", dark: "#d394e6" },
  ochre: { light: "#9a6b00", dark: "#e3b341" },
  slate: { light: "#64748b", dark: "#94a3b8" },
} as const;

export type Role = keyof typeof roles;
export type Scheme = "light" | "dark";

/** Each role as a CSS value. The fallback is the light colour, for an SVG taken out of its page. */
export const colour = Object.fromEntries(
  Object.entries(roles).map(([role, { light }]) => [role, `var(--${role}, ${light})`]),
) as Record<Role, string>;

/** Colours of unnamed categories, in order. */
export const categories = [
  colour.blue,
  colour.vermillion,
  colour.green,
  colour.purple,
  colour.ochre,
  colour.slate,
];

/** An ordered sequence (dark to light in the light scheme, reversed in the dark one) from early to late. */
const sequence = {
  light: ["#3b1f6b", "#5a3aa0", "#2f6cb5", "#12868c", "#3f9a4c", "#a08a00"],
  dark: ["#c9a8ff", "#a48bf5", "#6fa8f0", "#45bfc4", "#7fd07f", "#e5d04b"],
} as const;

/** Colours of an ordered sequence, at most six. */
export const ordered = sequence.light.map((light, i) => `var(--order-${i}, ${light})`);

/** From none to all right: apart in hue, and grey where opinions are divided. */
const shares = {
  light: ["#d0520a", "#c18064", "#a9a4a0", "#688aac", "#0b6cb3"],
  dark: ["#f58b4c", "#c18f75", "#8a8d92", "#799fc0", "#5fb0ee"],
} as const;

/** Colours of a share, from 0 to 1 in equal steps. */
export const shareColours = shares.light.map((light, i) => `var(--share-${i}, ${light})`);

/** The system's own sans-serif: nothing to download. */
export const fontStack = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

function variables(scheme: Scheme): [string, string][] {
  return [
    ...Object.entries(roles).map(([role, value]): [string, string] => [role, value[scheme]]),
    ...sequence[scheme].map((value, i): [string, string] => [`order-${i}`, value]),
    ...shares[scheme].map((value, i): [string, string] => [`share-${i}`, value]),
  ];
}

function declarations(scheme: Scheme): string {
  return variables(scheme)
    .map(([name, value]) => `--${name}:${value}`)
    .join(";");
}

/** CSS that defines every colour variable under `selector`, following `prefers-color-scheme`. */
export function schemeCss(selector: string): string {
  return `${selector}{color-scheme:light dark;${declarations("light")}}
@media (prefers-color-scheme:dark){${selector}{${declarations("dark")}}}`;
}

/** Replace every colour variable and `currentColor` in an SVG by the fixed colours of one scheme. */
export function resolveColours(svg: string, scheme: Scheme): string {
  const values = new Map(variables(scheme));
  return svg
    .replace(/var\(--([\w-]+), [^)]*\)/g, (whole, name: string) => values.get(name) ?? whole)
    .replaceAll("currentColor", roles.ink[scheme]);
}
