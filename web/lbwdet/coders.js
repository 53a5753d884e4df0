import { real } from './constants.js';

/**
 * What the engine needs of a box coder besides its fields; see lbwdet/deploy/runtime/coders.py.
 * @param {import('./fields.js').Fields} coder
 * @returns {Record<string, import('./constants.js').Constant>}
 */
export function coderConstants(coder) {
  return coder.type === 'DeltaCoder'
    ? { 'coder.max_log_ratio': real(Math.abs(Math.log(coder.max_ratio))) }
    : {};
}
