import { register } from '../constants.js';

register('DeformableAttention', ({ values, output }, context) => ({
  ratios: context.ratios(values, output),
}));
