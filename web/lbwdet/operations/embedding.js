import { register } from '../constants.js';
import { rounded } from '../quantization.js';

register('Embedding', ({ layer, output }, context) => {
  const { factors, shape, scale, gain, bias } = context.layers[layer];
  const [, channels] = shape;
  const quantization = context.quantizations[output];
  const bytes = Uint8Array.from(factors, (/** @type {number} */ factor, /** @type {number} */ i) => {
    const pixel = Math.floor(i / channels);
    const real = Math.fround(factor * scale[pixel] * gain[pixel] + bias[pixel]);
    return rounded(Math.fround(real / quantization.scale), quantization);
  });
  return { channels, bytes };
});
