import { register } from '../constants.js';
import { expect, shown } from '../errors.js';
import { FUNCTIONS } from '../functions.js';
import { rounded } from '../quantization.js';

register('Lookup', ({ input, output, function: name, parameters }, { quantizations }) => {
  const known = FUNCTIONS.get(name);
  expect(known !== undefined, () => `the function ${shown(name)} is not known`);
  const { count, of } = /** @type {import('../functions.js').Function_} */ (known);
  expect(parameters.length === count, () => `${name} takes ${count} parameters`);
  const { zero_point: zero, rounding, scale } = quantizations[input];
  const target = quantizations[output];
  const table = Uint8Array.from({ length: 256 }, (_, q) => {
    const middle = q - zero - (rounding === 'ceil' && q !== zero ? 0.5 : 0);
    return rounded(of(middle * scale, ...parameters) / target.scale, target);
  });
  return { table };
});
