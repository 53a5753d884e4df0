/**
 * Numbers that the engine needs of an operation besides its fields.
 *
 * Each operation that has some is a file in operations/, which mirrors `constants` of its Python
 * file to the last bit: everything is computed in float64 and rounded where it is stored.
 */
import { steps } from './quantization.js';

/** @typedef {number | Int32Array | Float32Array | Int8Array | Uint8Array} Constant */

/** Quantizations and layers of a program, for its operations. */
export class Context {
  /**
   * @param {Record<string, import('./quantization.js').Quantization>} quantizations
   * @param {Record<string, import('./weights.js').Layer>} layers
   */
  constructor(quantizations, layers) {
    this.quantizations = quantizations;
    this.layers = layers;
  }

  /**
   * Of a uint8 value; 1 of a value in reals.
   * @param {string} name
   */
  scale(name) {
    return this.quantizations[name]?.scale ?? 1;
  }

  /**
   * Of each channel of a uint8 value, or one for all; 1 of a value in reals.
   * @param {string} name
   */
  steps(name) {
    const quantization = this.quantizations[name];
    return quantization === undefined ? [1] : steps(quantization);
  }

  /**
   * Of each input, its scale over the output's.
   * @param {string[]} inputs
   * @param {string} output
   */
  ratios(inputs, output) {
    return Float32Array.from(inputs, (name) => this.scale(name) / this.scale(output));
  }
}

/** @typedef {(operation: any, context: Context) => Record<string, Constant>} Constants */

/** @type {Map<string, Constants>} */
const registry = new Map();

/**
 * @param {string} operation name of its class
 * @param {Constants} constants
 */
export function register(operation, constants) {
  registry.set(operation, constants);
}

/**
 * @param {import('./fields.js').Fields} operation
 * @param {Context} context
 */
export function constantsOf(operation, context) {
  return registry.get(operation.type)?.(operation, context) ?? {};
}

/** Of some operations, those that have no file here. */
export function missing(/** @type {string[]} */ operations) {
  return operations.filter((name) => !registry.has(name));
}

/**
 * A number for a field of reals: floats are the engine's only ones.
 * @param {number} value
 */
export function real(value) {
  return Float32Array.of(value);
}

/**
 * The entry of a channel, of an array that has one, or one for all.
 * @param {ArrayLike<number>} array
 * @param {number} channel
 */
export function of(array, channel) {
  return array[array.length === 1 ? 0 : channel];
}
