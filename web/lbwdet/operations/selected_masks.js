import { register } from '../constants.js';

register('SelectedMasks', ({ inputs, others }, context) => ({
  scales: Float32Array.from([...inputs, ...others], (name) => context.scale(name)),
}));
