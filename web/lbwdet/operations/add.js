import { register } from '../constants.js';

register('Add', ({ inputs, output }, context) => ({ ratios: context.ratios(inputs, output) }));
