import { real, register } from '../constants.js';

register('Reassemble', ({ input, output }, context) => ({
  ratio: real(context.scale(input) / context.scale(output)),
}));
