import { inverse, Matrix } from "ml-matrix";
import { describe, expect, it } from "vitest";
import { normals, stream } from "../src/random.ts";
import { modeVariance, type Parametrisation } from "../src/theory/covariance-flow.ts";
import * as theory from "../src/theory/index.ts";
import { solveOde } from "../src/theory/ode.ts";
import { average, spectrum } from "../src/theory/quadrature.ts";

function expectRelative(actual: number, expected: number, tolerance: number, what = ""): void {
  const error = Math.abs(actual - expected) / Math.abs(expected);
  expect(error, `${what}: ${actual} against ${expected}`).toBeLessThan(tolerance);
}

function gaussian(count: number, seed: number): Float64Array {
  const values = new Float64Array(count);
  normals(stream(seed, 0, "data", 0), values);
  return values;
}

/** Classical Runge-Kutta with fixed steps: independent of the integrator under test. */
function rungeKutta(
  f: (y: Float64Array) => Float64Array,
  start: Float64Array,
  t: number,
  steps: number,
): Float64Array {
  const h = t / steps;
  let y = start;
  const shifted = (k: Float64Array, factor: number) => y.map((value, i) => value + factor * k[i]);
  for (let n = 0; n < steps; n++) {
    const k1 = f(y);
    const k2 = f(shifted(k1, h / 2));
    const k3 = f(shifted(k2, h / 2));
    const k4 = f(shifted(k3, h));
    y = y.map((value, i) => value + (h / 6) * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]));
  }
  return y;
}

describe("the integrator", () => {
  it("solves linear and nonlinear equations within its tolerance", () => {
    const states = solveOde(
      (t, y, dy) => {
        dy[0] = -3 * y[0];
        dy[1] = Math.cos(t) * y[1];
        dy[2] = y[2] * (1 - y[2]);
      },
      Float64Array.of(1, 1, 0.1),
      [0, 0.5, 0.5, 4],
    );
    expect(states[0]).toEqual(Float64Array.of(1, 1, 0.1));
    expect(states[1]).toEqual(states[2]);
    expect(Math.abs(states[3][0] - Math.exp(-12))).toBeLessThan(1e-11);
    expectRelative(states[3][1], Math.exp(Math.sin(4)), 1e-9);
    expectRelative(states[3][2], 1 / (1 + 9 * Math.exp(-4)), 1e-9);
    expect(() => solveOde(() => {}, Float64Array.of(1), [1, 0.5])).toThrow(
      /times: got 0.5 after 1, must be .* never decrease/,
    );
  });
});

describe("learned noise against the mode equations", () => {
  const t = [0, 1e-3, 0.1, 0.6, 3, 20, 60];

  it("agrees with both closed solutions for a flat prior", () => {
    for (const [noise, closed] of [
      ["residual", theory.residualNoise],
      ["elbo", theory.elboNoise],
    ] as const) {
      for (const lambda of [0.2, 0.9, 1, 1.5, 3]) {
        const [w2, k2, sn2, u0] = [0.8, 0.3, 0.05, 0.02];
        const ode = theory.finitePrior({ t, lambda, noise, w2, k2, sn2, u0, wp2: Infinity });
        const exact = closed({ t, lambda, w: w2 + k2, sn2, u0 });
        for (const field of ["G", "T", "R", "V", "VS", "MI", "sig2"] as const) {
          t.forEach((time, i) => {
            // MI has no digits where sig2 has decayed below the tolerance, as R does for lambda > 1.
            if (field === "MI" && exact.sig2[i] < 1e-3) return;
            const error = Math.abs(ode[field][i] - exact[field][i]);
            const scale = Math.max(exact[field][i], 1e-3);
            expect(error / scale, `${noise} ${field} lambda=${lambda} t=${time}`).toBeLessThan(1e-9);
          });
        }
      }
    }
  });

  it("agrees with an independent integration for a finite prior", () => {
    const [lambda, w2, k2, sn2, wp2, u0, time] = [1.5, 0.9, 0.2, 0.1, 0.7, 0.05, 4];
    const n = 200;
    const root = Math.sqrt(lambda);
    // Gauss-Chebyshev nodes with the atom in front.
    const s = [0];
    const weight = [1 - 1 / lambda];
    for (let i = 0; i < n; i++) {
      const theta = ((i + 0.5) * Math.PI) / n;
      s.push(1 + lambda + 2 * root * Math.cos(theta));
      weight.push(((2 / Math.PI) * Math.sin(theta) ** 2 * Math.PI) / n / s[i + 1]);
    }
    const m = n + 1;
    const observe = (y: Float64Array) => {
      let [R, VS, V, G] = [sn2, 0, 0, 0];
      for (let i = 0; i < m; i++) {
        const [b, k, z, u] = [y[i], y[m + i], y[2 * m + i], y[3 * m + i]];
        const error = w2 * b * b + k2 * k * k + sn2 * lambda * s[i] * z * z;
        R += weight[i] * s[i] * (error - 2 * sn2 * lambda * z);
        VS += weight[i] * s[i] * u;
        V += weight[i] * u;
        G += weight[i] * error;
      }
      return { R, VS, V, G };
    };
    for (const noise of ["residual", "elbo"] as const) {
      const flow = (y: Float64Array) => {
        const { R, VS } = observe(y);
        const sig2 = noise === "residual" ? R : R + VS;
        const gam = (lambda * sig2) / wp2;
        const dy = new Float64Array(4 * m);
        for (let i = 0; i < m; i++) {
          const a = s[i] + gam;
          dy[i] = -a * y[i] + gam;
          dy[m + i] = -a * y[m + i];
          dy[2 * m + i] = 1 - a * y[2 * m + i];
          dy[3 * m + i] = -2 * a * y[3 * m + i] + 2 * lambda * sig2;
        }
        return dy;
      };
      const start = new Float64Array(4 * m).fill(1, 0, 2 * m).fill(u0, 3 * m);
      const expected = observe(rungeKutta(flow, start, time, 1000));
      const ours = theory.finitePrior({ t: [time], lambda, noise, w2, k2, sn2, wp2, u0 });
      for (const field of ["G", "V", "R", "VS"] as const) {
        expectRelative(ours[field][0], expected[field], 1e-9, `${noise} ${field}`);
      }
    }
  });

  it("peaks and collapses with a finite prior too, lambda > 1 included", () => {
    const times = Array.from({ length: 40 }, (_, i) => 0.05 * 10 ** (i / 12));
    for (const noise of ["residual", "elbo"] as const) {
      const { V } = theory.finitePrior({ t: times, lambda: 1.5, noise, sn2: 0.01, wp2: 1, u0: 0.01 });
      const top = V.indexOf(Math.max(...V));
      expect(top).toBeGreaterThan(0);
      expect(top).toBeLessThan(times.length - 1);
    }
  });

  it("names invalid input", () => {
    const base = { t: [1], lambda: 0.5, noise: "elbo" as const, u0: 0.1 };
    expect(() => theory.finitePrior({ ...base, noise: "fixed" as never })).toThrow(
      /noise: got .*, must be one of/,
    );
    expect(() => theory.finitePrior({ ...base, w2: 0, k2: 0 })).toThrow(/w2 \+ k2/);
    expect(() => theory.finitePrior({ ...base, wp2: -1 })).toThrow(/wp2/);
    expect(() => theory.finitePrior({ ...base, t: [2, 1] })).toThrow(/decrease/);
  });
});

describe("covariance parametrisations", () => {
  const variance: Record<Parametrisation, (rho: number) => number> = {
    std: (rho) => rho ** 2,
    logVariance: (rho) => Math.exp(rho),
    logStd: (rho) => Math.exp(2 * rho),
    variance: (rho) => rho,
    softplusStd: (rho) => Math.log1p(Math.exp(rho)) ** 2,
  };
  const start: Record<Parametrisation, (v: number) => number> = {
    std: Math.sqrt,
    logVariance: Math.log,
    logStd: (v) => Math.log(v) / 2,
    variance: (v) => v,
    softplusStd: (v) => Math.log(Math.expm1(Math.sqrt(v))),
  };

  it("follow the gradient of the negative ELBO in their own parameter", () => {
    const modes = [
      { a: 0.7, tau: 0.3, v0: 1.2 },
      { a: 1.3, tau: 0.4, v0: 0.05 },
      { a: 2, tau: 0.1, v0: 0.05 },
    ];
    for (const kind of theory.parametrisations) {
      const v = variance[kind];
      for (const mode of modes) {
        const slope = (rho: number) => (v(rho + 1e-5) - v(rho - 1e-5)) / 2e-5;
        const flow = (y: Float64Array) =>
          Float64Array.of(-(mode.a / 2 - mode.tau / (2 * v(y[0]))) * slope(y[0]));
        for (const t of [0.02, 0.5, 3]) {
          const rho = rungeKutta(flow, Float64Array.of(start[kind](mode.v0)), t, 1500)[0];
          expectRelative(modeVariance(kind, mode, t), v(rho), 1e-7, `${kind} ${JSON.stringify(mode)} t=${t}`);
        }
      }
    }
  });

  it("start at v0 and end at tau/a", () => {
    for (const kind of theory.parametrisations) {
      for (const v0 of [1e-9, 0.3, 5]) {
        expectRelative(modeVariance(kind, { a: 2, tau: 0.6, v0 }, 0), v0, 1e-12, kind);
        expectRelative(modeVariance(kind, { a: 2, tau: 0.6, v0 }, 1e3), 0.3, 1e-9, kind);
      }
    }
    expect(modeVariance("variance", { a: 1, tau: 0, v0: 1 }, 3)).toBe(0);
    expectRelative(modeVariance("variance", { a: 0, tau: 0.5, v0: 1 }, 3), Math.sqrt(2.5), 1e-14);
  });

  it("std in the eigenbasis gives the curves of fixedNoise", () => {
    for (const lambda of [0.5, 1.5]) {
      const ours = theory.covarianceFlow({
        t: [0.3, 5],
        lambda,
        parametrisation: "std",
        sig2: 0.2,
        wp2: 2,
        u0: 0.7,
        d: 50,
      });
      const reference = theory.fixedNoise({ t: [0.3, 5], lambda, sig2: 0.2, wp2: 2, u0: 0.7 });
      for (const i of [0, 1]) {
        expectRelative(ours.V[i], reference.V[i], 1e-12);
        expectRelative(ours.VS[i], reference.VS[i], 1e-12);
      }
    }
  });

  it("does not see the spectrum in the original basis: half is lost at t = ln 2 / 2 for every lambda", () => {
    for (const lambda of [0.2, 0.9, 2]) {
      const { V } = theory.covarianceFlow({
        t: Math.LN2 / 2,
        lambda,
        parametrisation: "std",
        basis: "original",
        u0: 3,
        d: 100,
      });
      expectRelative(V, 1.5, 1e-12);
    }
  });

  it("does not see the edge with a log variance: algebraic decay", () => {
    const input = { lambda: 0.5, parametrisation: "logVariance", u0: 1, d: 10 } as const;
    const [early, late] = theory.covarianceFlow({ ...input, t: [2e4, 4e4] }).V;
    // v ~ 2/(s t).
    expectRelative(early / late, 2, 0.01);
    const slow = theory.covarianceFlow({ ...input, t: 4 }).V;
    expectRelative(theory.covarianceFlow({ ...input, parametrisation: "logStd", t: 1 }).V, slow, 1e-12);
  });

  it("integrates softplus nodes as single modes", () => {
    const input = { lambda: 1.5, parametrisation: "softplusStd", u0: 5, d: 5, sig2: 0.1, wp2: 1 } as const;
    const ours = theory.covarianceFlow({ ...input, t: 2 });
    const gam = 0.15;
    const single = (s: number) => 5 * modeVariance("softplusStd", { a: s + gam, tau: 0.15 / 5, v0: 1 }, 2);
    expectRelative(ours.V, average(spectrum(1.5), single), 1e-8);
    expectRelative(
      ours.VS,
      average(spectrum(1.5), (s) => s * single(s)),
      1e-8,
    );
  });

  it("is closed for every square root of the covariance", () => {
    // R' = -(A R - tau R^-T) with a non-symmetric R R' = v0 I, against the mode formula.
    const d = 4;
    const x = new Matrix(7, d);
    gaussian(7 * d, 5).forEach((value, i) => {
      x.set(Math.floor(i / d), i % d, value);
    });
    const S = x.transpose().mmul(x).div(7);
    const [gam, tau, v0, t] = [0.1, 0.2, 0.6, 0.8];
    const A = Matrix.add(S, Matrix.eye(d).mul(gam));
    const angle = 0.7;
    const rotation = Matrix.eye(d);
    rotation.set(0, 0, Math.cos(angle));
    rotation.set(0, 2, -Math.sin(angle));
    rotation.set(2, 0, Math.sin(angle));
    rotation.set(2, 2, Math.cos(angle));
    const flow = (y: Float64Array) => {
      const R = Matrix.from1DArray(d, d, y);
      const change = Matrix.sub(inverse(R).transpose().mul(tau), A.mmul(R));
      return Float64Array.from(change.to1DArray());
    };
    const start = Float64Array.from(rotation.mul(Math.sqrt(v0)).to1DArray());
    const R = Matrix.from1DArray(d, d, rungeKutta(flow, start, t, 1000));
    const C = R.mmul(R.transpose());
    const eigenvalues = symmetricEigenvalues(S);
    const expected = (weight: (s: number) => number) =>
      eigenvalues.reduce((sum, s) => sum + weight(s) * modeVariance("std", { a: s + gam, tau, v0 }, t), 0);
    expectRelative(
      C.trace(),
      expected(() => 1),
      1e-9,
    );
    expectRelative(
      S.mmul(C).trace(),
      expected((s) => s),
      1e-9,
    );
  });

  it("follows its prediction for a Cholesky factor, with the smaller prefactor", () => {
    const [d, N, t] = [120, 133, 2];
    const x = gaussian(d * N, 9);
    const S = new Float64Array(d * d);
    for (let i = 0; i < d; i++) {
      for (let j = 0; j < d; j++) {
        let dot = 0;
        for (let n = 0; n < N; n++) dot += x[i * N + n] * x[j * N + n];
        S[i * d + j] = dot / N;
      }
    }
    // L' = -lower(S L) for tau = gam = 0.
    const flow = (L: Float64Array) => {
      const change = new Float64Array(d * d);
      for (let i = 0; i < d; i++) {
        for (let k = 0; k < d; k++) {
          const coupling = S[i * d + k];
          for (let j = 0; j <= Math.min(i, k); j++) change[i * d + j] -= coupling * L[k * d + j];
        }
      }
      return change;
    };
    const start = new Float64Array(d * d);
    for (let i = 0; i < d; i++) start[i * d + i] = 1;
    const L = rungeKutta(flow, start, t, 16);
    const V = L.reduce((sum, value) => sum + value * value, 0) / d;
    const predicted = theory.choleskyTrace({ t, lambda: d / N }).V;
    expectRelative(V, predicted, 0.03);
    expect(predicted).toBeLessThan(0.95 * theory.spectral(t, d / N).f0);
  });

  it("has no grokking delay to speak of with natural gradients", () => {
    const lambda = 0.95;
    const parameters = { sn2: 0, sig2: 1e-8, wp2: Infinity, u0: 1 };
    const natural = (t: number) => theory.naturalGradient({ ...parameters, t, lambda });
    const first = (field: "G" | "T") => {
      for (let t = 0; ; t += 0.01) if (natural(t)[field] <= 1e-4) return t;
    };
    const plain = theory.times({ lambda, level: 1e-4 });
    expect(plain.tGen / plain.tTrain).toBeGreaterThan(20);
    // A mode of eigenvalue s lags by log(1/s) only.
    expect(Math.abs(first("G") - first("T"))).toBeLessThan(Math.log(1 / spectrum(lambda).edge));
    const start = natural(0);
    expectRelative(start.G, 1, 1e-12);
    expectRelative(start.V, 1, 1e-12);
    const end = theory.naturalGradient({ t: 60, lambda: 0.5, sn2: 0.1, sig2: 0.1, wp2: 1, u0: 1 });
    const limit = theory.fixedNoiseLimit({ lambda: 0.5, sn2: 0.1, sig2: 0.1, wp2: 1, u0: 1 });
    for (const field of ["G", "T", "V", "VS"] as const) expectRelative(end[field], limit[field], 1e-12);
  });

  it("names invalid input", () => {
    const base = { t: 1, lambda: 0.5, parametrisation: "std", u0: 1, d: 10 } as const;
    expect(() => theory.covarianceFlow({ ...base, parametrisation: "full" as never })).toThrow(
      /parametrisation: got full, must be one of .*/,
    );
    expect(() => theory.covarianceFlow({ ...base, d: 2.5 })).toThrow(/d: got .*, must be an integer/);
    expect(() => theory.covarianceFlow({ ...base, u0: 0 })).toThrow(/u0/);
    expect(() => theory.naturalGradient({ t: 1, lambda: 0.5, sn2: 0 })).toThrow(/sig2/);
  });
});

/** Jacobi rotations. */
function symmetricEigenvalues(matrix: Matrix): number[] {
  const a = matrix.to2DArray();
  const n = a.length;
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (Math.abs(a[p][q]) < 1e-300) continue;
        const theta = 0.5 * Math.atan2(2 * a[p][q], a[q][q] - a[p][p]);
        const [c, s] = [Math.cos(theta), Math.sin(theta)];
        for (let k = 0; k < n; k++)
          [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
        for (let k = 0; k < n; k++)
          [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
      }
    }
  }
  return a.map((row, i) => row[i]);
}
