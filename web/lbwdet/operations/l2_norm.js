import { register } from '../constants.js';

register('L2Norm', ({ input, output, weight, eps }, context) => ({
  gain: Float32Array.from(weight, (w) => w / context.scale(output)),
  // As bits: a field has no float64.
  offset: new Int32Array(Float64Array.of(eps / context.scale(input)).buffer),
}));
