import { real } from './constants.js';

/**
 * What the engine needs of a box coder besides its fields; see lbwdet/deploy/runtime/coders.py.
 * @param {import('./fields.js').Fields} coder
 * @param {string} name of the coder
 * @returns {Record<string, import('./constants.js').Constant>}
 */
export function coderConstants(coder, name = 'coder') {
  if (coder.type === 'DistanceCoder') return {};
  if (coder.type === 'TwiceCoder')
    return {
      ...coderConstants(coder.first, `${name}.first`),
      ...coderConstants(coder.second, `${name}.second`),
    };
  return { [`${name}.max_log_ratio`]: real(Math.abs(Math.log(coder.max_ratio))) };
}
