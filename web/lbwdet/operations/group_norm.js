import { real, register } from '../constants.js';

register('GroupNorm', ({ input, output, epsilon }, context) => ({
  scaled_epsilon: real(epsilon / (context.scale(input) * context.scale(input))),
  scale: real(context.scale(output)),
}));
