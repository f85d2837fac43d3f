/** A size for people, with one decimal below 10 MiB. */
export function inMebibytes(bytes: number): string {
  const size = bytes / 2 ** 20;
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} MiB`;
}
