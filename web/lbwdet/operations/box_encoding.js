import { real, register } from '../constants.js';

register('BoxEncoding', ({ output, channels, temperature }, context) => ({
  slowness: Float32Array.from(
    { length: channels },
    (_, k) => temperature ** ((-2 * Math.floor(k / 2)) / channels),
  ),
  ratio: real(1 / context.scale(output)),
}));
