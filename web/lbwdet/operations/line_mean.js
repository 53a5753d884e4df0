import { real, register } from '../constants.js';

register('LineMean', ({ input, output }, context) => ({
  ratio: real(context.scale(input) / context.scale(output)),
}));
