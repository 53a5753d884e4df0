import { coderConstants } from '../coders.js';
import { register } from '../constants.js';

register('Refine', ({ coder }) => coderConstants(coder));
