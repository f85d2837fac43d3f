/**
 * Elementary functions with the same bytes on every engine: those of `Math` differ in the last bit between browsers and
 * versions of Node. IEEE basic operations only; each is within 1 unit in the last place. Ports of fdlibm, whose notice is:
 *
 * Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved. Developed at SunSoft, a Sun Microsystems, Inc.
 * business. Permission to use, copy, modify, and distribute this software is freely granted, provided that this notice is
 * preserved.
 */

const double = new Float64Array(1);
/** Of `double`; which word is the high one depends on the machine. */
const words = new Int32Array(double.buffer);
double[0] = 1;
const HIGH = words[1] === 0x3ff00000 ? 1 : 0;

function highWord(x: number): number {
  double[0] = x;
  return words[HIGH];
}

function withHighWord(x: number, high: number): number {
  double[0] = x;
  words[HIGH] = high;
  return double[0];
}

/** 2^n for n from -1024 to 1024: multiplying is quicker than writing an exponent into memory. */
const POWERS = new Float64Array(2049);
for (let n = 0, power = 1; n <= 1024; n++, power *= 2) POWERS[1024 + n] = power;
for (let n = 0, power = 1; n <= 1024; n++, power /= 2) POWERS[1024 - n] = power;

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

/** The natural logarithm; -Infinity at 0, NaN below. */
export function log(x: number): number {
  if (!(x > 0)) return x === 0 ? Number.NEGATIVE_INFINITY : Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  // Subnormal numbers lack an exponent of their own.
  const high = highWord(x);
  return high < 0x00100000 ? logNormal(x * POWERS[1024 + 54], -54) : logNormal(x, 0);
}

/** log(x) + shift ln 2 of a normal x. */
function logNormal(x: number, shift: number): number {
  const high = highWord(x);
  const fraction = high & 0x000fffff;
  const exponent = (high >> 20) - 1023 + (((fraction + 0x95f64) & 0x100000) >> 20);
  // x is from sqrt(1/2) to sqrt(2) times a power of 2.
  const f = x * POWERS[1024 - exponent] - 1;
  const k = exponent + shift;
  if ((0x000fffff & (2 + fraction)) < 3) {
    if (f === 0) return k === 0 ? 0 : k * LN2_HIGH + k * LN2_LOW;
    const R = f * f * (0.5 - 0.3333333333333333 * f);
    return k === 0 ? f - R : k * LN2_HIGH - (R - k * LN2_LOW - f);
  }
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const odd = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373));
  const even =
    z * (0.6666666666666735 + w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)));
  const R = even + odd;
  if (((fraction - 0x6147a) | (0x6b851 - fraction)) > 0) {
    const half = 0.5 * f * f;
    return k === 0 ? f - (half - s * (half + R)) : k * LN2_HIGH - (half - (s * (half + R) + k * LN2_LOW) - f);
  }
  return k === 0 ? f - s * (f - R) : k * LN2_HIGH - (s * (f - R) - k * LN2_LOW - f);
}

/** log(1 + x), also where 1 + x rounds x away; -Infinity at -1, NaN below. */
export function log1p(x: number): number {
  const sum = 1 + x;
  const excess = sum - 1 - x;
  return excess === 0 ? log(sum) : log(sum) - excess / sum;
}

/** e^x. */
export function exp(x: number): number {
  if (Number.isNaN(x) || x === Number.POSITIVE_INFINITY) return x;
  if (x > 709.782712893384) return Number.POSITIVE_INFINITY;
  if (x < -745.1332191019411) return 0;
  const size = highWord(x) & 0x7fffffff;
  let k = 0;
  let high = x;
  let low = 0;
  if (size > 0x3fd62e42) {
    // Beyond ln 2 / 2; k is the nearest whole number of ln 2.
    if (x === 1) return Math.E;
    k = size < 0x3ff0a2b2 ? Math.sign(x) : Math.trunc(Math.LOG2E * x + (x < 0 ? -0.5 : 0.5));
    high = x - k * LN2_HIGH;
    low = k * LN2_LOW;
  } else if (size < 0x3e300000) return 1 + x;
  const r = high - low;
  const t = r * r;
  const c =
    r -
    t *
      (0.16666666666666602 +
        t *
          (-0.0027777777777015593 +
            t * (6.613756321437934e-5 + t * (-1.6533902205465252e-6 + t * 4.1381367970572385e-8))));
  if (k === 0) return 1 - ((r * c) / (c - 2) - r);
  const y = 1 - (low - (r * c) / (2 - c) - high);
  if (k === 1024) return y * 2 * 2 ** 1023;
  return k >= -1021
    ? y * withHighWord(1, 0x3ff00000 + (k << 20))
    : y * withHighWord(1, 0x3ff00000 + ((k + 1000) << 20)) * 2 ** -1000;
}

/** The cosine of an angle from 0 to pi. */
export function cosine(x: number): number {
  const size = highWord(x);
  if (size <= 0x3fe921fb) return kernelCosine(x, 0);
  // x less a multiple of pi / 2, in two parts.
  if (size < 0x4002d97c) {
    const near = size === 0x3ff921fb;
    const z = near ? x - PIO2_1 - PIO2_2 : x - PIO2_1;
    const tail = near ? PIO2_2T : PIO2_1T;
    const y = z - tail;
    return -kernelSine(y, z - y - tail);
  }
  let r = x - 2 * PIO2_1;
  let w = 2 * PIO2_1T;
  if (size === 0x400921fb && (size >> 20) - ((highWord(r - w) >> 20) & 0x7ff) > 16) {
    const t = r;
    w = 2 * PIO2_2;
    r = t - w;
    w = 2 * PIO2_2T - (t - r - w);
  }
  const y = r - w;
  return -kernelCosine(y, r - y - w);
}

const PIO2_1 = 1.5707963267341256;
const PIO2_1T = 6.077100506506192e-11;
const PIO2_2 = 6.077100506303966e-11;
const PIO2_2T = 2.0222662487959506e-21;

/** Of x + y with |x| up to pi / 4 and a y far smaller. */
function kernelCosine(x: number, y: number): number {
  const size = highWord(x) & 0x7fffffff;
  if (size < 0x3e400000) return 1;
  const z = x * x;
  const r =
    z *
    (0.0416666666666666 +
      z *
        (-0.001388888888887411 +
          z *
            (2.480158728947673e-5 +
              z * (-2.7557314351390663e-7 + z * (2.087572321298175e-9 + z * -1.1359647557788195e-11)))));
  if (size < 0x3fd33333) return 1 - (0.5 * z - (z * r - x * y));
  const quarter = size > 0x3fe90000 ? 0.28125 : withHighWord(0, size - 0x00200000);
  return 1 - quarter - (0.5 * z - quarter - (z * r - x * y));
}

function kernelSine(x: number, y: number): number {
  if ((highWord(x) & 0x7fffffff) < 0x3e400000) return x;
  const z = x * x;
  const v = z * x;
  const r =
    0.00833333333332249 +
    z *
      (-0.0001984126982985795 +
        z * (2.7557313707070068e-6 + z * (-2.5050760253406863e-8 + z * 1.58969099521155e-10)));
  return x - (z * (0.5 * y - v * r) - y - v * -0.16666666666666632);
}
