import { real, register } from '../constants.js';

register('PlaceAttention', ({ query, value, output, across, down }, context) => {
  const table = (/** @type {number[]} */ numbers) =>
    Float32Array.from(numbers, (number) => number * context.scale(query));
  return {
    across_table: table(across),
    down_table: table(down),
    ratio: real(context.scale(value) / context.scale(output)),
  };
});
