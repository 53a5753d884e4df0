import { register } from '../constants.js';
import { rint, rounded } from '../quantization.js';

register('Preprocess', (operation, { quantizations }) => {
  const { mean, std, to_rgb: toRgb, pad_pixel: pad, pad_value: value, output } = operation;
  const quantization = quantizations[output];
  const stored = (/** @type {number} */ number) =>
    rounded(rint(number / quantization.scale), quantization);
  const ofPixel = (/** @type {number} */ channel, /** @type {number} */ pixel) =>
    stored((pixel - mean[channel]) / std[channel]);
  const pixels = toRgb ? [...pad].reverse() : pad;
  return {
    table: Uint8Array.from({ length: 3 * 256 }, (_, i) => ofPixel(i >> 8, i & 255)),
    fill: Uint8Array.from(
      [0, 1, 2].map((c) => ofPixel(c, pixels[c])).concat(Array(3).fill(stored(value))),
    ),
  };
});
