import { real, register } from '../constants.js';

register('Coordinates', ({ output }, context) => ({ ratio: real(1 / context.scale(output)) }));
