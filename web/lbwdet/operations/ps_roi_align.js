import { real, register } from '../constants.js';

register('PSRoIAlign', ({ stride }) => ({ scale: real(1 / stride) }));
