/**
 * Element-wise functions that a table of 256 entries stands for, in float64; as
 * lbwdet/deploy/runtime/arithmetic/functions.py has them. JavaScript's numbers are float64 and
 * rounded once by each operation, so that a table is the same; its own exp would not be.
 */
import { rint } from './quantization.js';

/** @typedef {{count: number, of: (x: number, ...parameters: number[]) => number}} Function_ */

const clip = (/** @type {number} */ x, /** @type {number} */ low, /** @type {number} */ high) =>
  Math.min(Math.max(x, low), high);

/**
 * The exponential that every engine computes alike.
 * @param {number} x of at most 700
 */
export function exp(x) {
  const k = rint(x * 1.4426950408889634);
  const r = x - k * 0.6931471805599453;
  let p = 1;
  for (let n = 13; n > 0; --n) p = 1 + (p * r) / n;
  // In two steps: 2**k may be too small for a float64 of full precision where the product is not.
  const half = Math.floor(Math.max(k, -2000) / 2);
  return p * 2 ** half * 2 ** (Math.max(k, -2000) - half);
}

const sigmoid = (/** @type {number} */ x) => 1 / (1 + exp(clip(-x, -700, 700)));
const tanh = (/** @type {number} */ x) => 2 * sigmoid(2 * x) - 1;

/** @param {number} x */
function erf(x) {
  if (Math.abs(x) >= 6) return Math.sign(x);
  let term = x;
  let total = x;
  for (let n = 1; n < 160; ++n) {
    term = (term * (2 * x * x)) / (2 * n + 1);
    total += term;
  }
  return 1.1283791670955126 * exp(-x * x) * total;
}

/** @param {number} argument */
function softplus(argument) {
  const x = clip(argument, -700, 700);
  const wanted = 1 + exp(x);
  let y = Math.max(x, 0) + 0.5 * exp(-Math.abs(x));
  for (let step = 0; step < 5; ++step) {
    const power = exp(y);
    y -= (power - wanted) / power;
  }
  return y;
}

/** @type {Map<string, Function_>} by name, with how many parameters each takes */
export const FUNCTIONS = new Map(
  Object.entries({
    identity: { count: 0, of: (x) => x },
    relu: { count: 0, of: (x) => Math.max(x, 0) },
    clamp: { count: 2, of: clip },
    leaky_relu: { count: 1, of: (x, slope) => (x > 0 ? x : x * slope) },
    elu: { count: 1, of: (x, alpha) => (x > 0 ? x : alpha * (exp(clip(x, -700, 0)) - 1)) },
    sigmoid: { count: 0, of: sigmoid },
    exp: { count: 0, of: (x) => exp(clip(x, -80, 80)) },
    silu: { count: 0, of: (x) => x * sigmoid(x) },
    tanh: { count: 0, of: tanh },
    gelu: { count: 0, of: (x) => 0.5 * x * (1 + erf(x * 0.7071067811865476)) },
    gelu_tanh: {
      count: 0,
      of: (x) => 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))),
    },
    hard_sigmoid: { count: 0, of: (x) => clip(x + 3, 0, 6) / 6 },
    hard_swish: { count: 0, of: (x) => (x * clip(x + 3, 0, 6)) / 6 },
    mish: { count: 0, of: (x) => x * tanh(softplus(x)) },
    affine: { count: 2, of: (x, factor, offset) => x * factor + offset },
  }),
);
