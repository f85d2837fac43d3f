import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as theory from "../src/theory/index.ts";
import { chebyshevAverage, chebyshevNodes } from "./reference/marchenko-pastur.ts";

const { elboNoise, fixedNoise, fixedNoiseLimit, residualNoise, spectral } = theory;
const lambdas = [0.05, 0.3, 0.9, 1, 1.1, 2, 4];
const lambdaRange = fc.double({ min: 0.05, max: 4, noNaN: true });
const timeRange = fc.double({ min: Math.log(1e-3), max: Math.log(1e5), noNaN: true }).map(Math.exp);
const variance = fc.double({ min: 1e-4, max: 3, noNaN: true });

function expectRelative(actual: number, expected: number, tolerance: number, what = ""): void {
  const error = Math.abs(actual - expected) / Math.abs(expected);
  expect(error, `${what}: ${actual} against ${expected}`).toBeLessThan(tolerance);
}

describe("fixed noise", () => {
  it("gives the reference values", () => {
    const calibrated = fixedNoise({ t: 5, lambda: 0.8, sn2: 0.01, sig2: 0.01, wp2: 1, u0: 1 });
    expectRelative(calibrated.G, 0.1194948042, 1e-9);
    expectRelative(calibrated.V, 0.1194948042, 1e-9);
    expectRelative(calibrated.T, 0.01556634765, 1e-9);
    expectRelative(calibrated.VS, 0.01556634765, 1e-9);
    expectRelative(calibrated.R, 0.01266057499, 1e-9);
    expectRelative(calibrated.MI, 0.5 * Math.log1p(calibrated.V / 0.01), 1e-14);
    const misspecified = fixedNoise({ t: 5, lambda: 1.5, k2: 0.5, sig2: 0.02, wp2: 2, u0: 0.3 });
    expectRelative(misspecified.G, 0.5176380269, 1e-9);
    expectRelative(misspecified.V, 0.2173466383, 1e-9);
  });

  it("agrees with the defining averages on independent nodes", () => {
    const [w2, k2, sn2, sig2, wp2, u0] = [1.3, 0.4, 0.05, 0.03, 0.7, 0.2];
    for (const lambda of lambdas) {
      const q = lambda * sig2;
      const gam = q / wp2;
      for (const t of [1e-3, 0.7, 40, 3e3, 1e5]) {
        const n =
          chebyshevNodes(lambda, t) +
          Math.ceil(20 / Math.acosh((1 + lambda + gam) / (2 * Math.sqrt(lambda))));
        const ours = fixedNoise({ t, lambda, w2, k2, sn2, sig2, wp2, u0 });
        const error = (s: number) => {
          const a = s + gam;
          const e = Math.exp(-a * t);
          return w2 * ((gam + s * e) / a) ** 2 + k2 * e * e + sn2 * lambda * s * ((1 - e) / a) ** 2;
        };
        const spread = (s: number) => q / (s + gam) + (u0 - q / (s + gam)) * Math.exp(-2 * (s + gam) * t);
        const mean = (h: (s: number) => number) => chebyshevAverage(lambda, n, h);
        const what = `lambda=${lambda}, t=${t}`;
        const T = mean((s) => s * error(s));
        const crossTerm = mean((s) => (s * (1 - Math.exp(-(s + gam) * t))) / (s + gam));
        expectRelative(ours.G, mean(error), 1e-10, what);
        expectRelative(ours.T, T, 1e-10, what);
        expectRelative(ours.R, sn2 + T - 2 * sn2 * lambda * crossTerm, 1e-9, what);
        expectRelative(ours.V, mean(spread), 1e-10, what);
        expectRelative(
          ours.VS,
          mean((s) => s * spread(s)),
          1e-10,
          what,
        );
      }
    }
  });

  it("is calibrated at every time when prior, noise and start are right (Theorem 1)", () => {
    fc.assert(
      fc.property(
        lambdaRange,
        timeRange,
        variance,
        fc.double({ min: 0, max: 2, noNaN: true }),
        variance,
        (lambda, t, w2, k2, sn2) => {
          const { G, V, T, VS } = fixedNoise({ t, lambda, w2, k2, sn2, sig2: sn2, wp2: w2, u0: w2 + k2 });
          expectRelative(V, G, 1e-12);
          expectRelative(VS, T, 1e-12);
        },
      ),
      { seed: 1 },
    );
  });

  it("has the calibrated parameters as defaults", () => {
    const defaults = fixedNoise({ t: 2, lambda: 0.7, w2: 1.5, k2: 0.5, sn2: 0.1 });
    expect(defaults).toEqual(
      fixedNoise({ t: 2, lambda: 0.7, w2: 1.5, k2: 0.5, sn2: 0.1, sig2: 0.1, wp2: 1.5, u0: 2 }),
    );
  });

  it("never has a peak of V or MI in time (Proposition 3)", () => {
    const times = Array.from({ length: 120 }, (_, i) => 1e-3 * 10 ** (i / 15));
    fc.assert(
      fc.property(lambdaRange, variance, variance, variance, (lambda, sig2, wp2, u0) => {
        const { V, MI } = fixedNoise({ t: times, lambda, sn2: 0.1, sig2, wp2, u0 });
        expect(interiorMaxima(V)).toBe(0);
        expect(interiorMaxima(MI)).toBe(0);
      }),
      { seed: 2, numRuns: 60 },
    );
  });

  it("starts at its initial values and ends at its limits", () => {
    const parameters = { w2: 1.2, k2: 0.3, sn2: 0.1, sig2: 0.2, wp2: 0.9, u0: 0.4 };
    for (const lambda of lambdas) {
      const start = fixedNoise({ t: 0, lambda, ...parameters });
      expectRelative(start.G, 1.5, 1e-13);
      expectRelative(start.T, 1.5, 1e-13);
      expectRelative(start.R, 1.6, 1e-13);
      expectRelative(start.V, 0.4, 1e-13);
      const end = fixedNoise({ t: 1e5, lambda, ...parameters });
      const limit = fixedNoiseLimit({ lambda, ...parameters });
      for (const field of ["G", "T", "R", "V", "VS", "MI"] as const) {
        expectRelative(limit[field], end[field], 1e-12, field);
      }
      const gam = (lambda * 0.2) / 0.9;
      expectRelative(limit.V, lambda * 0.2 * theory.resolvent(gam, lambda), 1e-13);
    }
  });

  it("has the limits of a flat prior", () => {
    const flat = { wp2: Infinity, sn2: 0.1, sig2: 0.2, u0: 0.3 };
    const below = fixedNoiseLimit({ lambda: 0.5, ...flat });
    expectRelative(below.G, (0.5 * 0.1) / 0.5, 1e-13);
    expectRelative(below.V, (0.5 * 0.2) / 0.5, 1e-13);
    expectRelative(below.R, 0.1 * 0.5, 1e-13);
    expect(fixedNoiseLimit({ lambda: 1, ...flat })).toMatchObject({ G: Infinity, V: Infinity, MI: Infinity });
    const above = fixedNoiseLimit({ lambda: 2, ...flat });
    expect(above.V).toBe(Infinity);
    expectRelative(above.G, 0.5 + (2 * 0.1 * 0.5) / 1, 1e-13);
    expect(above.R).toBe(0);
    expect(fixedNoiseLimit({ lambda: 1, u0: 1 })).toMatchObject({ G: 0, V: 0 });
    const late = fixedNoise({ t: 1e5, lambda: 2, ...flat });
    expectRelative(late.G, above.G, 1e-12);
    // The null modes spread linearly.
    expectRelative(late.V, 0.5 * (0.3 + 2 * 0.4 * 1e5) + 0.4 * 0.5, 1e-5);
  });

  it("approaches its floor at half the rate of V away from calibration (Proposition 2)", () => {
    const lambda = 0.2;
    const parameters = { sn2: 0.5, sig2: 0.1, wp2: 1, u0: 1 };
    const limit = fixedNoiseLimit({ lambda, ...parameters });
    const rate = (field: "G" | "V") => {
      const [a, b] = fixedNoise({ t: [12, 16], lambda, ...parameters })[field];
      return Math.log(Math.abs(a - limit[field]) / Math.abs(b - limit[field])) / 4;
    };
    expect(rate("V") / rate("G")).toBeGreaterThan(1.7);
    expect(rate("V") / rate("G")).toBeLessThan(2.1);
  });

  it("has no MI without likelihood noise", () => {
    expect(fixedNoise({ t: 1, lambda: 0.5 }).MI).toBeNaN();
  });

  it("names invalid input", () => {
    const base = { t: 1, lambda: 0.5 };
    expect(() => fixedNoise({ ...base, wp2: 0 })).toThrow(/wp2: got 0, must be/);
    for (const name of ["w2", "k2", "sn2", "sig2", "u0"]) {
      expect(() => fixedNoise({ ...base, wp2: 1, [name]: -0.5 })).toThrow(
        new RegExp(`^${name}: got -0.5, must be`),
      );
    }
  });
});

describe("learned noise", () => {
  it("gives the reference values", () => {
    const residual = residualNoise({ t: 5, lambda: 0.9, sn2: 1e-3, u0: 0.01 });
    expectRelative(residual.V, 0.1343794605, 1e-9);
    expectRelative(residual.R, 0.00944142194, 1e-9);
    expectRelative(residual.MI, 1.361731028, 1e-9);
    const elbo = elboNoise({ t: 5, lambda: 0.9, sn2: 1e-3, u0: 0.01 });
    expectRelative(elbo.V, 0.5871236477, 1e-9);
    expectRelative(elbo.sig2, 0.1438208824, 1e-9);
    expectRelative(elbo.MI, 0.8128844607, 1e-9);
  });

  it("obeys V + R = sn2 + W f0 and MI = log((sn2 + W f0)/R)/2 with residual noise", () => {
    fc.assert(
      fc.property(lambdaRange, timeRange, variance, variance, variance, (lambda, t, w, sn2, u0) => {
        const { V, R, MI } = residualNoise({ t, lambda, w, sn2, u0 });
        const total = sn2 + (w + u0) * spectral(t, lambda).f0;
        expectRelative(V + R, total, 1e-12);
        if (R > 1e-280) expect(Math.abs(MI - 0.5 * Math.log(total / R))).toBeLessThan(1e-11 * (1 + MI));
      }),
      { seed: 3 },
    );
  });

  it("is the generalisation gap for u0 = sn2 = 0, with d ln G/dt = -2 exp(-2 MI)", () => {
    for (const lambda of lambdas) {
      for (const t of [1e-3, 0.3, 3, 20]) {
        const { G, T, V, MI } = residualNoise({ t, lambda, u0: 0 });
        expect(Math.abs(V - (G - T))).toBeLessThan(1e-14);
        const h = 1e-4 * t;
        const [low, high] = residualNoise({ t: [t - h, t + h], lambda, u0: 0 }).G;
        expect(Math.abs(Math.log(high / low) / (2 * h) + 2 * Math.exp(-2 * MI))).toBeLessThan(1e-6);
      }
    }
  });

  it("has sig2 = R + tr SC with ELBO noise, and agrees with an independent form of V", () => {
    for (const lambda of lambdas) {
      for (const t of [1e-3, 0.5, 0.99, 1.01, 30, 1e3]) {
        const [w, sn2, u0] = [1.4, 0.02, 0.3];
        const { V, VS, R, sig2 } = elboNoise({ t, lambda, w, sn2, u0 });
        const { f0, F } = spectral(t, lambda);
        expectRelative(sig2, R + VS, 1e-12);
        const W = w + u0;
        const naive = W - w * f0 - 2 * ((1 - lambda) * W - lambda * sn2) * F;
        expect(Math.abs(V - naive)).toBeLessThan(1e-12 * (1 + W + 2 * lambda * W * F));
      }
    }
  });

  it("agrees with quadrature in 40 digits near lambda = 1 at late times", () => {
    // Gauss-Legendre in y, s = s_- + 4 sqrt(lambda) y^2, on intervals by half decades of y; w = 1.3, sn2 = 0.02, u0 = 0.1.
    // lambda, t; V, R, MI with residual noise; V, MI with ELBO noise.
    const reference = [
      [
        0.9995, 1e3, 0.03705862956730789, 0.0002614060975354685, 2.480605241618432, 2.338478215527048,
        2.076779217067282,
      ],
      [
        0.9995, 1e5, 0.02140817806486432, 3.054698911009398e-5, 3.276844011512117, 10.20246615823065,
        3.083642502313804,
      ],
      [
        1, 1e3, 0.03740497062004792, 0.0002564050729780035, 2.494815910288303, 2.382884699599625,
        2.081556696395938,
      ],
      [
        1, 1e5, 0.0217409567960567, 2.523541742191322e-5, 3.379932384039564, 11.48089320636998,
        3.134987794763774,
      ],
      [
        1.0005, 1e3, 0.03775532122546277, 0.0002514660959895833, 2.509105931613705, 2.428045336674553,
        2.086304531532036,
      ],
      [
        1.0005, 1e5, 0.02211681985267629, 2.055321557479299e-5, 3.491002571962824, 12.91301250522811,
        3.185218206142076,
      ],
    ];
    for (const [lambda, t, V, R, MI, elboV, elboMI] of reference) {
      const what = `lambda=${lambda}, t=${t}`;
      const parameters = { t, lambda, w: 1.3, sn2: 0.02, u0: 0.1 };
      const residual = residualNoise(parameters);
      expectRelative(residual.V, V, 1e-12, what);
      expectRelative(residual.R, R, 1e-12, what);
      expectRelative(residual.MI, MI, 1e-12, what);
      const elbo = elboNoise(parameters);
      expectRelative(elbo.V, elboV, 1e-12, what);
      expectRelative(elbo.MI, elboMI, 1e-12, what);
    }
  });

  it("keeps relative accuracy at small t, where V and VS start from 0", () => {
    // From the Taylor series of the mode equations: V = 2 lambda (w + sn2) t - ..., in both modes for u0 = 0.
    for (const lambda of lambdas) {
      const t = 1e-7;
      for (const curves of [residualNoise, elboNoise]) {
        const { V, VS, MI } = curves({ t, lambda, sn2: 0.5, u0: 0 });
        expectRelative(V, 3 * lambda * t, 1e-4 / 20);
        expectRelative(VS, 3 * lambda * t, 1e-4 / 20);
        expectRelative(MI, lambda * t, 1e-4 / 20);
      }
    }
  });

  it("keeps MI where V and R underflow", () => {
    // Noise-free, lambda < 1: V/R tends to (W/w)/s_- - 1 with residual noise.
    for (const lambda of [0.05, 0.5]) {
      const edge = (1 - Math.sqrt(lambda)) ** 2;
      const { V, MI } = residualNoise({ t: 1e5, lambda, u0: 0.5 });
      expect(V).toBe(0);
      expect(Math.abs(MI - 0.5 * Math.log(1.5 / edge))).toBeLessThan(1e-3);
      const elbo = elboNoise({ t: 1e5, lambda, u0: 0.5 });
      expect(elbo.sig2).toBe(0);
      const amplitude = 0.5 + (2 * Math.sqrt(lambda) * 1.5) / (1 - Math.sqrt(lambda));
      expect(Math.abs(elbo.MI - 0.5 * Math.log1p(amplitude / 1.5))).toBeLessThan(1e-3);
    }
    // lambda > 1: R decays, V does not, so MI grows like s_- t.
    const [a, b] = residualNoise({ t: [5e4, 1e5], lambda: 2, sn2: 0.1, u0: 0.01 }).MI;
    const edge = (Math.SQRT2 - 1) ** 2;
    expect(Math.abs((b - a) / 5e4 - edge)).toBeLessThan(1e-4);
  });

  it("has the limits of the two estimates for lambda < 1", () => {
    for (const lambda of [0.2, 0.7]) {
      const residual = residualNoise({ t: 1e5, lambda, sn2: 0.1, u0: 0.01 });
      expectRelative(residual.V, lambda * 0.1, 1e-9);
      expectRelative(residual.MI, -0.5 * Math.log(1 - lambda), 1e-9);
      const elbo = elboNoise({ t: 1e5, lambda, sn2: 0.1, u0: 0.01 });
      expectRelative(elbo.V, (lambda * 0.1) / (1 - lambda), 1e-9);
      expectRelative(elbo.MI, theory.informationLimit(lambda), 1e-9);
    }
  });

  it("has at most one peak in time", () => {
    const times = Array.from({ length: 100 }, (_, i) => 1e-4 * 10 ** (i / 11));
    fc.assert(
      fc.property(lambdaRange, variance, fc.double({ min: 0, max: 2, noNaN: true }), (lambda, sn2, u0) => {
        for (const curves of [residualNoise, elboNoise]) {
          const { V } = curves({ t: times, lambda, sn2, u0 });
          expectRelative(curves({ t: 0, lambda, sn2, u0: u0 + 0.1 }).V, u0 + 0.1, 1e-13);
          expect(interiorMaxima(V)).toBeLessThanOrEqual(1);
        }
      }),
      { seed: 4, numRuns: 40 },
    );
  });

  it("names invalid input", () => {
    expect(() => residualNoise({ t: 1, lambda: 0.5, w: 0, u0: 0.1 })).toThrow(/w: got 0, must be/);
    expect(() => elboNoise({ t: 1, lambda: 0.5, sn2: -1, u0: 0.1 })).toThrow(/sn2: got .*, must be/);
    expect(() => elboNoise({ t: 1, lambda: 0.5, u0: Number.NaN })).toThrow(/u0: got NaN, must be/);
  });
});

/** Interior maxima that stand out from rounding. */
function interiorMaxima(values: number[]): number {
  let count = 0;
  let rising = false;
  let extreme = values[0];
  for (const value of values) {
    const tolerance = 1e-12 * Math.abs(extreme);
    if (value > extreme + tolerance) {
      rising = true;
      extreme = value;
    } else if (value < extreme - tolerance) {
      if (rising) count++;
      rising = false;
      extreme = value;
    }
  }
  return count;
}
