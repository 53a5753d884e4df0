import { real, register } from '../constants.js';

register('SoftmaxPool', ({ input, output }, context) => ({
  ratio: real(context.scale(input) / context.scale(output)),
}));
