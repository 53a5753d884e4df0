/** An artifact from the bytes of its file; as lbwdet/deploy/runtime/artifact.py reads it. */
import declarations from '../built/declarations.js';
import { decode } from './codes.js';
import { checksum, product, readContainer } from './container.js';
import { ArtifactError, expect, shown } from './errors.js';
import { checkRanges, operationFromJson, recordFromJson } from './fields.js';
import { isObject, parseJson } from './json.js';
import { checkProgram } from './validate.js';
import { checkWeight } from './weights.js';

/**
 * @typedef {object} Artifact
 * @property {import('./fields.js').Fields[]} operations in the order of execution
 * @property {Record<string, import('./quantization.js').Quantization>} quantizations
 * @property {Record<string, import('./weights.js').StoredWeight>} weights
 * @property {string[]} classes
 */

/**
 * Reads and checks an artifact.
 * @param {ArrayBuffer} file
 * @returns {Promise<Artifact>}
 */
export async function readArtifact(file) {
  const container = readContainer(file);
  const document = readDocument(container);
  const { operations, quantizations } = document.program;
  const weights = await readWeights(document.weights, container);
  const artifact = { operations, quantizations, weights, classes: document.classes };
  checkProgram(artifact);
  return artifact;
}

/** @param {import('./container.js').Container} container */
function readDocument({ metadata, data }) {
  expect(
    Object.hasOwn(metadata, 'lbwdet'),
    () => 'a safetensors file, but not an artifact of lbwdet',
  );
  const value = parseJson(metadata.lbwdet, 'the document');
  const known = declarations.formatVersion;
  const version = isObject(value) ? value.format_version : undefined;
  expect(
    Number.isInteger(version) && version >= 1,
    () => `format_version is ${shown(version)}, not a version`,
  );
  expect(
    version === known,
    () =>
      `format_version is ${shown(version)}, this page reads ${known} alone: ` +
      (version < known ? 'export the model anew' : 'reload the page for a newer one'),
  );
  const texts = Object.keys(metadata).sort().join(', ');
  expect(
    texts === 'crc32, lbwdet',
    () => `the metadata has ${shown(texts)} instead of crc32, lbwdet`,
  );
  expect(
    metadata.crc32 === checksum(new TextEncoder().encode(metadata.lbwdet), data),
    () => 'damaged: the checksum does not fit the content; copy the file anew',
  );
  return checkedDocument(value);
}

/** @param {Record<string, any>} value */
function checkedDocument(value) {
  expectKeys(value, ['classes', 'format_version', 'info', 'program', 'weights'], 'document');
  const { classes, program, weights } = value;
  expect(
    Array.isArray(classes) && classes.every((name) => typeof name === 'string'),
    () => `document.classes is ${shown(classes)} instead of a list of texts`,
  );
  expectKeys(program, ['operations', 'quantizations'], 'document.program');
  expect(
    Array.isArray(program.operations),
    () => `document.program.operations is ${shown(program.operations)} instead of a list`,
  );
  return {
    classes,
    program: {
      operations: program.operations.map((/** @type {any} */ operation, /** @type {number} */ i) =>
        operationFromJson(operation, `document.program.operations[${i}]`),
      ),
      quantizations: recordsByName(
        'Quantization',
        program.quantizations,
        'document.program.quantizations',
      ),
    },
    weights: recordsByName('WeightEntry', weights, 'document.weights'),
  };
}

/**
 * @param {string} kind
 * @param {any} value
 * @param {string} place
 */
function recordsByName(kind, value, place) {
  expect(isObject(value), () => `${place} is ${shown(value)} instead of an object`);
  /** @type {Record<string, import('./fields.js').Fields>} */
  const records = Object.create(null); // names are anything, "__proto__" too
  for (const [name, entry] of Object.entries(value))
    records[name] = recordFromJson(kind, entry, `${place}[${shown(name)}]`);
  return records;
}

/**
 * @param {any} value
 * @param {string[]} keys
 * @param {string} place
 */
function expectKeys(value, keys, place) {
  expect(isObject(value), () => `${place} is ${shown(value)} instead of an object`);
  const found = Object.keys(value).sort();
  expect(
    found.join() === keys.join(),
    () => `${place} has the fields ${shown(found)} instead of ${keys.join(', ')}`,
  );
}

/**
 * @param {Record<string, import('./fields.js').Fields>} entries
 * @param {import('./container.js').Container} container
 */
async function readWeights(entries, { arrays }) {
  let number = 0;
  const expected = new Set();
  for (const [layer, entry] of Object.entries(entries)) {
    checkRanges(entry, `layer ${shown(layer)}`);
    number += product(entry.shape);
    for (const part of parts(entry)) expected.add(`${layer}.${part}`);
  }
  const absent = [...expected].filter((name) => !arrays.has(name));
  const unknown = [...arrays.keys()].filter((name) => !expected.has(name));
  expect(
    absent.length + unknown.length === 0,
    () =>
      `the arrays are not those of the layers: missing ${shown(absent)}, unknown ${shown(unknown)}`,
  );
  expect(
    number <= declarations.maxWeights,
    () => `${number} weights are too many, at most ${declarations.maxWeights} are allowed`,
  );
  /** @type {Record<string, import('./weights.js').StoredWeight>} */
  const weights = Object.create(null);
  for (const [layer, entry] of Object.entries(entries)) {
    weights[layer] = await readWeight(layer, entry, arrays);
    checkWeight(layer, weights[layer]);
  }
  return weights;
}

/**
 * The arrays of a layer: codes, an exponent or, where it is no power of two, a scale, and the rest.
 * @param {import('./fields.js').Fields} entry
 */
function parts({ code, bit_width: bits }) {
  const scale = code === 'uniform' || bits === 1 ? 'scale' : 'scale_exponent';
  return ['codes', scale, 'gain', 'bias'];
}

/** @type {Record<string, string>} */
const PART_DTYPES = { codes: 'U8', scale_exponent: 'I16', scale: 'F32', gain: 'F32', bias: 'F32' };

/**
 * @param {string} layer
 * @param {import('./fields.js').Fields} entry
 * @param {import('./container.js').Container['arrays']} arrays
 * @returns {Promise<import('./weights.js').StoredWeight>}
 */
async function readWeight(layer, entry, arrays) {
  const [codes, scale, gain, bias] = parts(entry).map((part) => {
    const { dtype, shape, numbers } = /** @type {NonNullable<ReturnType<typeof arrays.get>>} */ (
      arrays.get(`${layer}.${part}`)
    );
    expect(
      dtype === PART_DTYPES[part] && shape.length === 1,
      () =>
        `array ${shown(`${layer}.${part}`)} is ${dtype} ${shown(shape)} instead of ` +
        `${PART_DTYPES[part]} of one dimension`,
    );
    return numbers;
  });
  try {
    return {
      shape: entry.shape,
      codes: await decode(
        /** @type {Uint8Array<ArrayBuffer>} */ (codes),
        product(entry.shape),
        entry.bit_width,
        entry.encoding,
      ),
      scale: scale instanceof Int16Array ? Float32Array.from(scale, (e) => 2 ** e) : floats(scale),
      code: entry.code,
      bitWidth: entry.bit_width,
      numMagnitudes: entry.num_magnitudes,
      gain: floats(gain),
      bias: floats(bias),
    };
  } catch (error) {
    if (!(error instanceof ArtifactError)) throw error;
    throw new ArtifactError(`array ${shown(`${layer}.codes`)}: ${error.message}`);
  }
}

/** @param {import('./container.js').Numbers} numbers */
function floats(numbers) {
  return /** @type {Float32Array} */ (numbers);
}
