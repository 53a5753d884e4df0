import { real, register } from '../constants.js';

register('AveragePool', ({ input, output }, context) => ({
  ratio: real(context.scale(input) / context.scale(output)),
}));
