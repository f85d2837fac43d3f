/** Timing. */

/**
 * Seconds per call of `run(count)` (which does the thing `count` times): the fastest of several rounds of about
 * `seconds` each, because a machine's other work only ever slows a round down.
 */
export function best(run, { rounds = 5, seconds = 0.3 } = {}) {
  const time = (count) => {
    const started = performance.now();
    run(count);
    return (performance.now() - started) / 1000;
  };
  time(1);
  let count = 1;
  let took = time(count);
  while (took < seconds / 4) {
    count *= 2;
    took = time(count);
  }
  count = Math.max(1, Math.round((count * seconds) / took));
  let fastest = Number.POSITIVE_INFINITY;
  for (let r = 0; r < rounds; r++) fastest = Math.min(fastest, time(count) / count);
  return fastest;
}
