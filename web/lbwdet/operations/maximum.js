import { register } from '../constants.js';

register('Maximum', ({ first, second, output }, context) => ({
  ratios: context.ratios([first, second], output),
}));
