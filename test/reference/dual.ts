/**
 * Vectors of dual numbers in float64. `value + tangent * e` with `e * e = 0` carries an exact directional
 * derivative through any calculation, a hand-written backward pass included. Values never depend on tangents.
 *
 * Binary operations broadcast operands of length 1. A matrix is a row-major vector, (rows, columns).
 */
export interface Dual {
  readonly value: Float64Array;
  readonly tangent: Float64Array;
}

export function zeros(length: number): Dual {
  return { value: new Float64Array(length), tangent: new Float64Array(length) };
}

/** A vector with zero tangent. */
export function constant(value: ArrayLike<number>): Dual {
  return { value: Float64Array.from(value), tangent: new Float64Array(value.length) };
}

/** A view, not a copy: accumulating into it changes `a`. */
export function slice(a: Dual, offset: number, length: number): Dual {
  return {
    value: a.value.subarray(offset, offset + length),
    tangent: a.tangent.subarray(offset, offset + length),
  };
}

export function concatenate(parts: readonly Dual[]): Dual {
  const joined = zeros(parts.reduce((length, part) => length + part.value.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.value.set(part.value, offset);
    joined.tangent.set(part.tangent, offset);
    offset += part.value.length;
  }
  return joined;
}

/** Element-wise `value(x, y)` with partial derivatives `dx(x, y)` and `dy(x, y)`. */
function zip(
  a: Dual,
  b: Dual,
  value: (x: number, y: number) => number,
  dx: (x: number, y: number) => number,
  dy: (x: number, y: number) => number,
): Dual {
  const result = zeros(Math.max(a.value.length, b.value.length));
  const stepA = a.value.length === 1 ? 0 : 1;
  const stepB = b.value.length === 1 ? 0 : 1;
  for (let i = 0; i < result.value.length; i++) {
    const x = a.value[i * stepA];
    const y = b.value[i * stepB];
    result.value[i] = value(x, y);
    result.tangent[i] = dx(x, y) * a.tangent[i * stepA] + dy(x, y) * b.tangent[i * stepB];
  }
  return result;
}

const one = () => 1;

export function add(a: Dual, b: Dual): Dual {
  return zip(a, b, (x, y) => x + y, one, one);
}

export function subtract(a: Dual, b: Dual): Dual {
  return zip(
    a,
    b,
    (x, y) => x - y,
    one,
    () => -1,
  );
}

export function multiply(a: Dual, b: Dual): Dual {
  return zip(
    a,
    b,
    (x, y) => x * y,
    (_, y) => y,
    (x) => x,
  );
}

export function scale(a: Dual, factor: number): Dual {
  return { value: a.value.map((x) => factor * x), tangent: a.tangent.map((x) => factor * x) };
}

/** Element-wise function with its derivative. */
export function map(a: Dual, f: (x: number) => number, derivative: (x: number) => number): Dual {
  return { value: a.value.map(f), tangent: a.tangent.map((t, i) => derivative(a.value[i]) * t) };
}

/** Sum of the elements, length 1. */
export function sum(a: Dual): Dual {
  const total = (x: Float64Array) => x.reduce((s, xi) => s + xi, 0);
  return { value: Float64Array.of(total(a.value)), tangent: Float64Array.of(total(a.tangent)) };
}

/** Mean of the elements, length 1. */
export function mean(a: Dual): Dual {
  return scale(sum(a), 1 / a.value.length);
}

/** W x for W (m, n) and x (n): length m. */
export function matVec({ value: w, tangent: dw }: Dual, { value: x, tangent: dx }: Dual): Dual {
  const n = x.length;
  const y = zeros(w.length / n);
  for (let i = 0; i < y.value.length; i++) {
    let value = 0;
    let tangent = 0;
    for (let j = 0; j < n; j++) {
      const ij = i * n + j;
      value += w[ij] * x[j];
      tangent += dw[ij] * x[j] + w[ij] * dx[j];
    }
    y.value[i] = value;
    y.tangent[i] = tangent;
  }
  return y;
}

/** Transposed product W' y for W (m, n) and y (m): length n. */
export function transposedMatVec({ value: w, tangent: dw }: Dual, { value: y, tangent: dy }: Dual): Dual {
  const x = zeros(w.length / y.length);
  const { value, tangent } = x;
  const n = value.length;
  for (let i = 0; i < y.length; i++) {
    const [yi, dyi] = [y[i], dy[i]];
    for (let j = 0; j < n; j++) {
      const ij = i * n + j;
      value[j] += w[ij] * yi;
      tangent[j] += dw[ij] * yi + w[ij] * dyi;
    }
  }
  return x;
}

/** target += a, in place. */
export function accumulate(target: Dual, a: Dual): void {
  for (let i = 0; i < a.value.length; i++) {
    target.value[i] += a.value[i];
    target.tangent[i] += a.tangent[i];
  }
}

/** target += y x' in place, for target (m, n), y (m) and x (n). */
export function accumulateOuter(
  { value, tangent }: Dual,
  { value: y, tangent: dy }: Dual,
  { value: x, tangent: dx }: Dual,
): void {
  const n = x.length;
  for (let i = 0; i < y.length; i++) {
    const [yi, dyi] = [y[i], dy[i]];
    for (let j = 0; j < n; j++) {
      const ij = i * n + j;
      value[ij] += yi * x[j];
      tangent[ij] += dyi * x[j] + yi * dx[j];
    }
  }
}
