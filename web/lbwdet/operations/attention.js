import { real, register } from '../constants.js';
import { rounded } from '../quantization.js';

register('Attention', (attention, context) => {
  const { query, key, value, output, scale } = attention;
  const stored = (/** @type {string} */ name, /** @type {number[]} */ reals) =>
    Uint8Array.from(reals, (number) =>
      rounded(Math.fround(Math.fround(number) / context.scale(name)), context.quantizations[name]),
    );
  return {
    factor: real(context.scale(query) * context.scale(key) * scale),
    ratio: real(context.scale(value) / context.scale(output)),
    padding_key: stored(key, attention.key_padding),
    padding_value: stored(value, attention.value_padding),
  };
});
