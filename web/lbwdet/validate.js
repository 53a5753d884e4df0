/**
 * What operations have in common; as lbwdet/deploy/runtime/validate.py checks it. How the sizes of
 * maps fit together is checked there when a file is written; here the engine refuses what does not.
 */
import declarations from '../built/declarations.js';
import { expect, shown } from './errors.js';
import { checkRanges, namesOf } from './fields.js';
import { checkQuantization } from './quantization.js';

/** @typedef {import('./fields.js').Fields} Fields */

/** @param {import('./artifact.js').Artifact} artifact */
export function checkProgram({ operations, quantizations, weights, classes }) {
  expect(
    operations.length >= 2,
    () => 'the program has no operations; it needs Preprocess to Detections',
  );
  expect(
    operations.length <= declarations.maxOperations,
    () =>
      `the program has ${operations.length} operations; ` +
      `at most ${declarations.maxOperations} are allowed`,
  );
  operations.forEach((operation, index) => {
    for (const [kind, at, word] of /** @type {const} */ ([
      ['Preprocess', 0, 'begins'],
      ['Detections', operations.length - 1, 'ends'],
    ]))
      expect(
        (operation.type === kind) === (index === at),
        () => `${placeOf(operation, index)}: a program ${word} with its one ${kind}`,
      );
  });
  for (const [name, quantization] of Object.entries(quantizations))
    checkQuantization(name, quantization);
  const kinds = checkOperations(operations, quantizations, weights);
  const used = new Set(
    operations.flatMap((operation) => namesOf(operation, 'layer').map(({ name }) => name)),
  );
  expectNone(
    'weights of layers that no operation has',
    Object.keys(weights).filter((layer) => !used.has(layer)),
  );
  expectNone(
    'quantizations of values that are no map',
    Object.keys(quantizations).filter((name) => kinds.get(name) !== 'uint8'),
  );
  const wanted = operations[operations.length - 1].num_classes;
  expect(
    classes.length === wanted && new Set(classes).size === wanted && !classes.includes(''),
    () => `classes are ${shown(classes)}; ${wanted} different names are expected`,
  );
}

/**
 * @param {Fields[]} operations
 * @param {import('./artifact.js').Artifact['quantizations']} quantizations
 * @param {import('./artifact.js').Artifact['weights']} weights
 */
function checkOperations(operations, quantizations, weights) {
  /** @type {Map<string, string>} */
  const kinds = new Map(); // of the values so far
  operations.forEach((operation, index) => {
    const place = placeOf(operation, index);
    checkRanges(operation, place);
    for (const { name } of namesOf(operation, 'layer'))
      expect(name in weights, () => `${place}: the layer has no weight`);
    for (const { name, field, description } of namesOf(operation, 'reads')) {
      const kind = kinds.get(name);
      expect(
        kind !== undefined,
        () => `${place}: reads ${shown(name)}, which no operation before it writes`,
      );
      const allowed = /** @type {string[]} */ (description.reads);
      expect(
        allowed.includes(/** @type {string} */ (kind)),
        () => `${place}: ${field} ${shown(name)} is ${kind}, not ${allowed.join(' or ')}`,
      );
      expectSteps(place, name, Boolean(description.steps), quantizations);
    }
    for (const { name, description } of namesOf(operation, 'writes')) {
      expect(
        name !== '' && !kinds.has(name),
        () => `${place}: the output ${shown(name)} is empty or already taken`,
      );
      kinds.set(name, kindOf(place, name, description, quantizations));
      expectSteps(place, name, Boolean(description.steps), quantizations);
      if (description.like)
        expect(
          same(quantizations[operation[description.like]], quantizations[name]),
          () => `${place}: input and output differ in quantization`,
        );
    }
  });
  return kinds;
}

/**
 * What a written value is.
 * @param {string} place
 * @param {string} name
 * @param {import('./fields.js').Description} description
 * @param {import('./artifact.js').Artifact['quantizations']} quantizations
 */
function kindOf(place, name, { writes = [] }, quantizations) {
  if (!writes.includes('uint8') && !writes.includes('float')) return writes[0];
  const kind = name in quantizations ? 'uint8' : 'float';
  expect(
    writes.includes(kind),
    () => `${place}: ${shown(name)} has ${kind === 'float' ? 'no' : 'a'} quantization`,
  );
  return kind;
}

/**
 * @param {string} place
 * @param {string} name
 * @param {boolean} allowed
 * @param {import('./artifact.js').Artifact['quantizations']} quantizations
 */
function expectSteps(place, name, allowed, quantizations) {
  expect(
    allowed || !quantizations[name]?.exponents.length,
    () => `${place}: ${shown(name)} has a step for each channel, and here all must have the same`,
  );
}

/**
 * @param {Fields | undefined} a
 * @param {Fields | undefined} b
 */
function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * @param {string} problem
 * @param {string[]} names
 */
function expectNone(problem, names) {
  expect(names.length === 0, () => `${problem}: ${shown(names)}`);
}

/**
 * @param {Fields} operation
 * @param {number} index
 */
function placeOf(operation, index) {
  const layers = namesOf(operation, 'layer').map(({ name }) => ` ${shown(name)}`);
  return `operation ${index} (${operation.type}${layers.join('')})`;
}
