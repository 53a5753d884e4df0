import { register } from '../constants.js';

register('Quantize', ({ output }, context) => ({
  inverse: Float32Array.from(context.steps(output), (step) => 1 / step),
}));
