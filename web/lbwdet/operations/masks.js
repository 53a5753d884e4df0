import { real, register } from '../constants.js';

register('Masks', ({ output }, context) => ({ factor: real(1 / context.scale(output)) }));
