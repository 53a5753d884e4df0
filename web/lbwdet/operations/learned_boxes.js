import { register } from '../constants.js';

register('LearnedBoxes', ({ boxes }) => ({ places: Float32Array.from(boxes.flat()) }));
