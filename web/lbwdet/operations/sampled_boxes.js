import { coderConstants } from '../coders.js';
import { register } from '../constants.js';

register('SampledBoxes', ({ coder }) => coderConstants(coder));
