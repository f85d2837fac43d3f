import { describe, expect, it } from "vitest";
import { average, integrate, spectrum } from "../src/theory/quadrature.ts";
import { erf, erfc, erfcx, erfinv, lambertWExp } from "../src/theory/special.ts";
import { decay, maxStepSize, resolvent, spectral } from "../src/theory/spectral.ts";
import { chebyshevAverage, chebyshevNodes, exactSpectral } from "./reference/marchenko-pastur.ts";

const lambdas = [0.05, 0.2, 0.5, 0.9, 0.99, 0.9995, 1, 1.0003, 1.01, 1.5, 2, 4];

function expectRelative(actual: number, expected: number, tolerance: number, what = ""): void {
  const error = Math.abs(actual - expected) / Math.abs(expected);
  expect(error, `${what}: ${actual} against ${expected}`).toBeLessThan(tolerance);
}

describe("Marchenko-Pastur quadrature", () => {
  it("has the moments of the law: sums of Narayana numbers", () => {
    for (const lambda of lambdas) {
      const spec = spectrum(lambda);
      expectRelative(
        integrate(spec, () => 1),
        Math.min(1, 1 / lambda),
        1e-14,
        `mass at ${lambda}`,
      );
      expectRelative(
        average(spec, (s) => s),
        1,
        1e-14,
      );
      expectRelative(
        average(spec, (s) => s * s),
        1 + lambda,
        1e-14,
      );
      expectRelative(
        average(spec, (s) => s ** 3),
        1 + 3 * lambda + lambda ** 2,
        1e-14,
      );
    }
  });

  it("agrees with the Bessel series in exact arithmetic", () => {
    for (const lambda of lambdas) {
      for (const t of [1e-3, 0.1, 1, 7, 30]) {
        const exact = exactSpectral(t, lambda);
        const ours = spectral(t, lambda);
        for (const field of ["f0", "f1", "f2"] as const) {
          expectRelative(ours[field], exact[field], 2e-13, `${field} at t=${t}, lambda=${lambda}`);
        }
      }
    }
  });

  it("agrees with the Gauss-Chebyshev rule for t up to 1e5", () => {
    for (const lambda of lambdas.filter((value) => value === 1 || Math.abs(Math.log(value)) > 2e-3)) {
      for (const t of [1e-3, 1, 30, 1e3, 1e5]) {
        const n = chebyshevNodes(lambda, t);
        const ours = spectral(t, lambda);
        const what = `t=${t}, lambda=${lambda}`;
        const check = (actual: number, h: (s: number) => number) => {
          const expected = chebyshevAverage(lambda, n, h);
          // Where the exponentials are subnormal or 0 there is nothing to compare.
          if (expected > 1e-290) expectRelative(actual, expected, 1e-11, what);
        };
        check(ours.f0, (s) => Math.exp(-2 * s * t));
        check(ours.f1, (s) => s * Math.exp(-2 * s * t));
        check(ours.f2, (s) => s * s * Math.exp(-2 * s * t));
        check(ours.F, (s) => (s > 0 ? -Math.expm1(-2 * s * t) / (2 * s) : t));
        check(ours.g, (s) => (s > 0 ? Math.expm1(-s * t) ** 2 / s : 0));
      }
    }
  });

  it("keeps the ratios of exponentially small moments", () => {
    // f1/f0 and f2/f1 tend to s_- like s_- + 3/(4t).
    for (const lambda of [0.05, 0.5, 0.9]) {
      const { edge } = spectrum(lambda);
      for (const t of [1e3, 1e5]) {
        const { c0, c1, c2, logScale } = decay(spectrum(lambda), t);
        expectRelative(c1 / c0, edge, 2 / (edge * t));
        expectRelative(c2 / c1, edge, 2 / (edge * t));
        const asymptotic =
          -2 * edge * t - Math.log(2 * Math.sqrt(Math.PI) * lambda ** 0.75 * edge * (2 * t) ** 1.5);
        expect(Math.abs(logScale + Math.log(c0) - asymptotic)).toBeLessThan(20 / (edge * t));
      }
    }
  });

  it("gives the reference values", () => {
    const reference: [number, number][] = [
      [spectral(1, 0.5).f0, 0.2675907475],
      [spectral(1, 0.5).f1, 0.1192317192],
      [spectral(1, 0.5).f2, 0.08636721415],
      [spectral(10, 0.9).f0, 0.08772389347],
      [spectral(10, 1).f0, 0.1257605089],
      [spectral(10, 2).f0, 0.5002570133],
      [spectral(10, 0.9).F, 1.955394228],
      [spectral(10, 2).F, 5.249429144],
      [spectral(30, 1).g, 3.137056301],
      [spectral(10, 2).g, 0.4759875359],
      [resolvent(0.01, 0.9), 6.073173444],
      [resolvent(0.1, 2), 5.422144385],
    ];
    for (const [actual, expected] of reference) expectRelative(actual, expected, 1e-9);
  });

  it("gives the resolvent its closed form", () => {
    for (const lambda of lambdas) {
      for (const gam of [1e-6, 1e-3, 0.1, 3]) {
        expectRelative(
          resolvent(gam, lambda),
          average(spectrum(lambda), (s) => 1 / (s + gam)),
          1e-12,
        );
      }
    }
    expectRelative(resolvent(0, 0.75), 4, 1e-15);
    expect(resolvent(0, 1)).toBe(Infinity);
    expect(resolvent(0, 2)).toBe(Infinity);
    expect(maxStepSize(1, 0.5)).toBeCloseTo(2 / 4.5, 14);
  });

  it("broadcasts t and lambda", () => {
    const both = spectral([1, 2], [0.5, 0.9]);
    expect(both.f0).toEqual([spectral(1, 0.5).f0, spectral(2, 0.9).f0]);
    expect(spectral([1, 2], 0.5).f1).toEqual([spectral(1, 0.5).f1, spectral(2, 0.5).f1]);
    expect(spectral(1, Float64Array.of(0.5, 0.5)).g).toEqual([spectral(1, 0.5).g, spectral(1, 0.5).g]);
    expect(() => spectral([1, 2], [0.5, 0.6, 0.7])).toThrow(
      /lengths of t and lambda: got 2 and 3, must be equal/,
    );
    expect(() => spectral([], 0.5)).toThrow(RangeError);
  });

  it("names invalid input", () => {
    expect(() => spectral(-1, 0.5)).toThrow(/t: got -1, must be/);
    expect(() => spectral(Number.NaN, 0.5)).toThrow(/t: got .*, must be/);
    expect(() => spectral(1, 0)).toThrow(/lambda: got 0, must be/);
    expect(() => spectral(1, Infinity)).toThrow(/lambda/);
    expect(() => resolvent(-0.1, 0.5)).toThrow(/gam/);
  });
});

describe("special functions", () => {
  it("reproduce tabulated values of the error function", () => {
    // DLMF and Abramowitz-Stegun 7.1, to 15 or 16 digits.
    const table: [number, number, number][] = [
      [0.1, 0.1124629160182849, 0.887537083981715],
      [0.5, 0.5204998778130465, 0.4795001221869535],
      [1, 0.8427007929497149, 0.1572992070502851],
      [2, 0.9953222650189527, 0.004677734981047266],
      [3, 0.9999779095030014, 2.209049699858544e-5],
      [5, 0.9999999999984626, 1.537459794428035e-12],
    ];
    for (const [x, value, complement] of table) {
      expectRelative(erf(x), value, 4e-16);
      expectRelative(erf(-x), -value, 4e-16);
      expectRelative(erfc(x), complement, 2e-14);
      expectRelative(erfcx(x), Math.exp(x * x) * complement, 2e-14);
    }
    expectRelative(erfcx(50), 0.011281536265323772, 1e-14);
    expect(erf(0)).toBe(0);
  });

  it("invert the error function", () => {
    for (const y of [1e-12, 0.01, 0.3, 0.5, 0.7, 0.95, 0.999999]) {
      expectRelative(erf(erfinv(y)), y, 1e-15);
      expectRelative(erfc(erfinv(y)), 1 - y, 1e-14);
    }
    expect(() => erfinv(1)).toThrow(/y: got .*, must be/);
  });

  it("solve w + log w = x", () => {
    for (const x of [-50, -10, -1, 0, 1, 1.5, 10, 1000]) {
      const w = lambertWExp(x);
      expect(Math.abs(w + Math.log(w) - x)).toBeLessThan(4e-15 * Math.max(1, Math.abs(x)));
    }
    expectRelative(lambertWExp(0), 0.5671432904097838, 1e-15);
  });
});
