import { coderConstants } from '../coders.js';
import { register } from '../constants.js';

register('RegionCandidates', ({ coder }) => coderConstants(coder));
