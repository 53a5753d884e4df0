import { register } from '../constants.js';
import { rounded } from '../quantization.js';

register('Embedding', ({ layer, output, in_two: inTwo }, context) => {
  const { factors, shape, scale, gain, bias } = context.layers[layer];
  const [, channels] = shape;
  const quantization = context.quantizations[output];
  const count = inTwo ? factors.length / 2 : factors.length;
  const term = (/** @type {number} */ i) => {
    const row = Math.floor(i / channels);
    return factors[i] * scale[row] * gain[row] + bias[row];
  };
  const bytes = new Uint8Array(count);
  for (let i = 0; i < count; ++i) {
    const real = Math.fround(inTwo ? term(i) + term(i + count) : term(i));
    bytes[i] = rounded(Math.fround(real / quantization.scale), quantization);
  }
  return { channels, bytes };
});
