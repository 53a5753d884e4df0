import { register } from '../constants.js';

register('Mix', ({ factors }) => ({ factors: Float32Array.from(factors.flat()) }));
