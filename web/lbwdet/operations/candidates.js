import { coderConstants } from '../coders.js';
import { register } from '../constants.js';

register('Candidates', ({ base_anchors: anchors, score_threshold: threshold, coder }) => ({
  anchors_per_level: Int32Array.from(anchors, (/** @type {any} */ boxes) => boxes.length),
  base_anchors: Float32Array.from(anchors.flat(2)),
  has_threshold: Number(threshold !== null),
  ...coderConstants(coder),
}));
