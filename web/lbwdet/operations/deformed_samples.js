import { real, register } from '../constants.js';

register('DeformedSamples', ({ input, output }, context) => ({
  ratio: real(context.scale(input) / context.scale(output)),
}));
