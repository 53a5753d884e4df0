import { register } from '../constants.js';

register('Concat', ({ inputs, output }, context) => ({ ratios: context.ratios(inputs, output) }));
