import { real, register } from '../constants.js';

register('QueryMasks', ({ kernels, features }, context) => ({
  factor: real(context.scale(kernels) * context.scale(features)),
}));
