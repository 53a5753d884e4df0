import { real, register } from '../constants.js';

register('SoftmaxOfParts', ({ output }, context) => ({ ratio: real(1 / context.scale(output)) }));
