import { of, register } from '../constants.js';

register('Affine', ({ input, output, gain, bias }, context) => {
  const read = context.steps(input);
  const written = context.steps(output);
  return {
    multiplier: Float32Array.from(gain, (g, c) => (of(read, c) * g) / of(written, c)),
    offset: Float32Array.from(bias, (b, c) => b / of(written, c)),
  };
});
