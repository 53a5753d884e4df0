import { register } from '../constants.js';
import { rounded } from '../quantization.js';

register('Pad', ({ input, value }, { quantizations }) => ({
  fill: rounded(value / quantizations[input].scale, quantizations[input]),
}));
