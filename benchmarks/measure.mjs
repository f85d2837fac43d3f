/** Timing, and values that are computed once. */

/** The smallest of `rounds` results of `measure`, because a machine's other work only ever slows a round down. */
export function fastest(rounds, measure) {
  return Math.min(...Array.from({ length: rounds }, measure));
}

/** Seconds per call of `run(count)` (which does the thing `count` times): the fastest of several rounds of `seconds`. */
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
  return fastest(rounds, () => time(count) / count);
}

/** `compute`, which runs at the first call only. */
export function once(compute) {
  let result;
  return () => {
    result ??= { value: compute() };
    return result.value;
  };
}
