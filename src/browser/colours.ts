/** Colours of the theme for a canvas, which does not know CSS variables. */

/** What `var(--name, fallback)` is now, in the reader's scheme; other colours as they are. */
export function resolved(colour: string): string {
  const name = /^var\((--[\w-]+)/.exec(colour)?.[1];
  return name ? getComputedStyle(document.documentElement).getPropertyValue(name).trim() : colour;
}

/** With an opacity from 0 to 1. The theme's colours are all six digits. */
export const translucent = (colour: string, opacity: number): string =>
  `${resolved(colour)}${Math.round(255 * opacity)
    .toString(16)
    .padStart(2, "0")}`;
