import { real, register } from '../constants.js';

register('RegionProduct', ({ input, matrices, output }, context) => ({
  factor: real((context.scale(input) * context.scale(matrices)) / context.scale(output)),
}));
