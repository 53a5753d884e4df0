import { register } from '../constants.js';

register('RoIAlign', ({ inputs, output, strides }, context) => ({
  scales: Float32Array.from(strides, (stride) => 1 / stride),
  ratios: context.ratios(inputs, output),
}));
