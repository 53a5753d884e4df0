/** A layer's weight: checked, and as the integers that the engine multiplies by. */
import declarations from '../built/declarations.js';
import { product } from './container.js';
import { expect, shown } from './errors.js';

const MAX_WEIGHT = 64; // |integer weight|: a pair of u8 * s8 products fits int16
const MAX_ACCUMULATOR = 2 ** 31 - 1;
const MAX_ACTIVATION = 255;
const WINDOW = 7; // magnitudes 2**0 .. 2**6 that an integer weight can hold
const LEAST_SCALE = 2 ** -126;

/** @type {Record<string, number[]>} */
const TWO_TERM = declarations.twoTerm;

/**
 * @typedef {object} StoredWeight as lbwdet/deploy/runtime/weights.py has it
 * @property {number[]} shape of the codes: [o, i, kh, kw]
 * @property {Int8Array} codes
 * @property {Float32Array} scale
 * @property {string} code
 * @property {number} bitWidth
 * @property {number} numMagnitudes
 * @property {Float32Array} gain
 * @property {Float32Array} bias
 */

/**
 * @typedef {object} Layer as it multiplies: value = factors * scale, then * gain + bias
 * @property {number[]} shape
 * @property {Int8Array} factors
 * @property {Float64Array} scale of each output channel
 * @property {Float32Array} gain
 * @property {Float32Array} bias
 */

/**
 * Every output channel keeps its seven highest levels.
 * @param {StoredWeight} weight
 * @returns {Layer}
 */
export function layerOf(weight) {
  const { shape, codes, code, bitWidth, numMagnitudes, gain, bias } = weight;
  const channels = shape[0];
  const one = weight.scale.length === 1;
  const scale = Float64Array.from({ length: channels }, (_, o) => weight.scale[one ? 0 : o]);
  if (code === 'uniform') return { shape, factors: codes, scale, gain, bias };
  const factors = new Int8Array(codes.length);
  if (code === 'two-term') {
    const levels = [0, ...TWO_TERM[bitWidth]];
    for (let i = 0; i < codes.length; ++i)
      factors[i] = Math.sign(codes[i]) * levels[Math.abs(codes[i])];
    const largest = levels[levels.length - 1];
    return { shape, factors, scale: scale.map((s) => s / largest), gain, bias };
  }
  const size = codes.length / channels;
  for (let o = 0; o < channels; ++o) {
    const end = (o + 1) * size;
    let largest = 0;
    for (let i = o * size; i < end; ++i) largest = Math.max(largest, Math.abs(codes[i]));
    const base = Math.max(largest - WINDOW, 0);
    for (let i = o * size; i < end; ++i) {
      const shift = Math.abs(codes[i]) - base - 1;
      factors[i] = shift >= 0 && shift < WINDOW ? Math.sign(codes[i]) << shift : 0;
    }
    scale[o] *= 2 ** (base + 1 - numMagnitudes);
  }
  return { shape, factors, scale, gain, bias };
}

/**
 * Shapes, ranges, nothing infinite; as lbwdet/deploy/runtime/validate.py checks a weight.
 * @param {string} name
 * @param {StoredWeight} weight
 */
export function checkWeight(name, weight) {
  const { shape, codes, scale, code, bitWidth, numMagnitudes } = weight;
  const place = `layer ${shown(name)}`;
  const outputs = shape[0];
  for (const [part, array, lengths] of /** @type {const} */ ([
    ['scale', scale, [1, outputs]],
    ['gain', weight.gain, [outputs]],
    ['bias', weight.bias, [outputs]],
  ])) {
    expect(
      /** @type {readonly number[]} */ (lengths).includes(array.length),
      () => `${place}: ${part} has ${array.length} entries instead of ${lengths.join(' or ')}`,
    );
    expect(array.every(Number.isFinite), () => `${place}: ${part} is not finite everywhere`);
  }
  expect(
    ['paper', 'dense', 'two-term', 'uniform'].includes(code),
    () => `${place}: code ${shown(code)} is not one of paper, dense, two-term, uniform`,
  );
  const least = code === 'uniform' || bitWidth === 1 ? 0 : LEAST_SCALE;
  expect(
    scale.every((s) => s >= least),
    () => `${place}: a scale is negative, or an exponent not in -126 .. 127`,
  );
  let [fewest, most] = [1, Math.max(1, 2 ** (bitWidth - 1) - 1)];
  if (code === 'two-term') fewest = most = TWO_TERM[bitWidth]?.length ?? -1;
  if (code === 'uniform') fewest = most = bitWidth === 8 ? 0 : -1;
  expect(
    fewest <= numMagnitudes && numMagnitudes <= most,
    () => `${place}: ${code} code of ${bitWidth} bits with ${numMagnitudes} magnitudes`,
  );
  const allowed = code === 'uniform' ? MAX_WEIGHT : numMagnitudes;
  expect(
    codes.every((q) => -allowed <= q && q <= allowed),
    () => `${place}: a code is beyond -${allowed}..${allowed}`,
  );
  const fanIn = product(shape.slice(1));
  if (MAX_ACTIVATION * MAX_WEIGHT * fanIn <= MAX_ACCUMULATOR) return; // whatever the weights are
  const { factors } = layerOf(weight);
  for (let o = 0; o < outputs; ++o) {
    let sum = 0;
    for (let i = o * fanIn; i < (o + 1) * fanIn; ++i) sum += Math.abs(factors[i]);
    expect(
      MAX_ACTIVATION * sum <= MAX_ACCUMULATOR,
      () => `${place}: its int32 accumulator could reach ${MAX_ACTIVATION * sum}`,
    );
  }
}
