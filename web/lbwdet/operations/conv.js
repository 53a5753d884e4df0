import { of, register } from '../constants.js';

register('Conv', (conv, context) => {
  const { factors, shape, scale, gain, bias } = context.layers[conv.layer];
  const [outputs, inputs] = shape;
  const read = context.scale(conv.input);
  const last = context.steps(conv.output);
  const written = conv.function === 'identity' ? last : [1];
  const each = (/** @type {(channel: number) => number} */ number) =>
    Float32Array.from({ length: outputs }, (_, channel) => number(channel));
  return {
    integers: factors,
    in_channels: inputs * conv.groups,
    out_channels: outputs,
    multiplier: each((o) => (read * scale[o] * gain[o]) / of(written, o)),
    offset: each((o) => bias[o] / of(written, o)),
    factor: each((o) => 1 / of(last, o)),
    ...(conv.residual === null ? {} : { ratio: each(ratio(context.steps(conv.residual), last)) }),
  };
});

/** Of a channel's steps, one over the other. */
const ratio = (/** @type {ArrayLike<number>} */ from, /** @type {ArrayLike<number>} */ to) =>
  (/** @type {number} */ channel) => of(from, channel) / of(to, channel);
