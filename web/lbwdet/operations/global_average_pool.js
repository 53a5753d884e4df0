import { real, register } from '../constants.js';

register('GlobalAveragePool', ({ input, output }, context) => ({
  ratio: real(context.scale(input) / context.scale(output)),
}));
