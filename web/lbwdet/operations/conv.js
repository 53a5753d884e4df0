import { of, real, register } from '../constants.js';

register('Conv', (conv, context) => {
  const { factors, shape, scale, gain, bias } = context.layers[conv.layer];
  const [outputs, inputs] = shape;
  const read = context.scale(conv.input);
  const written = conv.function === 'identity' ? context.steps(conv.output) : [1];
  const each = (/** @type {(channel: number) => number} */ number) =>
    Float32Array.from({ length: outputs }, (_, channel) => number(channel));
  return {
    integers: factors,
    in_channels: inputs * conv.groups,
    out_channels: outputs,
    multiplier: each((o) => (read * scale[o] * gain[o]) / of(written, o)),
    offset: each((o) => bias[o] / of(written, o)),
    ratio: real(
      conv.residual === null ? 0 : context.scale(conv.residual) / context.scale(conv.output),
    ),
    factor: each((o) => 1 / of(context.steps(conv.output), o)),
  };
});
