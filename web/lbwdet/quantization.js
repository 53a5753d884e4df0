/** How integers stand for real numbers; as lbwdet/deploy/runtime/quantization.py has it. */
import { expect, shown } from './errors.js';
import { checkRanges } from './fields.js';

/** @typedef {import('./fields.js').Fields} Quantization */

const MAGIC = 2 ** 52 * 1.5; // the sum has no place for a fraction

/**
 * To the nearest integer, ties to even.
 * @param {number} value
 */
export function rint(value) {
  return Math.abs(value) < 2 ** 51 ? value + MAGIC - MAGIC : value;
}

/**
 * clamp(round(value) + zero_point, 0, maximum)
 * @param {number} value in units of the scale
 * @param {Quantization} quantization of the result
 */
export function rounded(value, { rounding, zero_point: zero, maximum }) {
  const whole = rounding === 'nearest' ? rint(value) : Math.ceil(value);
  return Math.min(Math.max(whole + zero, 0), maximum);
}

/**
 * What one step of each channel is worth: one number if all are equal.
 * @param {Quantization} quantization
 * @returns {number[]}
 */
export function steps({ scale, exponents }) {
  return exponents.length
    ? exponents.map((/** @type {number} */ exponent) => scale * 2 ** exponent)
    : [scale];
}

/**
 * @param {string} name
 * @param {Quantization} quantization
 */
export function checkQuantization(name, quantization) {
  const place = `quantization of ${shown(name)}`;
  checkRanges(quantization, place);
  const { scale, zero_point: zero, maximum } = quantization;
  expect(Math.fround(scale) === scale, () => `${place}: scale ${scale} is not a float32 number`);
  expect(zero <= maximum, () => `${place}: zero_point ${zero} is above maximum ${maximum}`);
}
