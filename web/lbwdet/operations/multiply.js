import { real, register } from '../constants.js';

register('Multiply', ({ input, gate, output }, context) => ({
  ratio: real((context.scale(input) * context.scale(gate)) / context.scale(output)),
}));
