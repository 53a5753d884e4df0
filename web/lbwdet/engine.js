/** The engine with a program in it: image in, boxes out. Runs in the thread that calls it. */
import '../built/operations.js';
import declarations from '../built/declarations.js';
import { Context, constantsOf } from './constants.js';
import { EngineError, ImageError } from './errors.js';
import { namesOf, records } from './fields.js';
import { layerOf } from './weights.js';

/** @typedef {import('./module.js').Module} Module */
/** @typedef {import('./fields.js').Fields} Fields */

/**
 * @typedef {object} Detections of one image, best first
 * @property {Float32Array} boxes x1, y1, x2, y2 of each in pixels of the image
 * @property {Float32Array} scores
 * @property {Int32Array} labels indices of classes
 * @property {Uint32Array[] | null} masks of each, lengths of runs of pixels outside and inside in
 *   turn, column after column; null of a detector without masks
 */

const KIND = { int: 0, float: 1, int8: 2, uint8: 3, text: 4, value: 5 }; // as lbw.h numbers them
const FIELD_BYTES = 24;
const MAX_SIDE = 2 ** 24;
const ALLOWED_PIXELS = declarations.maxPixels;
/** What one image may take beside the weights: a module has 2 GiB at most. */
export const MEMORY_LIMIT = 2 ** 30;
export const WORK_LIMIT = 2 ** 40; // multiplications and comparisons of one image

export class Engine {
  /**
   * @param {Module} module
   * @param {{memoryLimit?: number, workLimit?: number}} [limits]
   */
  constructor(module, { memoryLimit = MEMORY_LIMIT, workLimit = WORK_LIMIT } = {}) {
    this.module = module;
    this.functions = module.functions;
    /** @type {Map<string, number>} */
    this.values = new Map(); // their indices
    /** @type {string[]} */
    this.titles = [];
    this.hasMasks = false;
    this.engine = this.functions.lbw_create(0, 1, BigInt(memoryLimit), BigInt(workLimit));
    if (this.engine === 0) throw this.error();
  }

  /** The kernels in use. */
  get instructionSet() {
    return this.module.text(this.functions.lbw_isa(this.engine));
  }

  /**
   * @param {import('./artifact.js').Artifact} artifact that was checked
   */
  addProgram({ operations, quantizations, weights }) {
    for (const operation of operations)
      for (const name of written(operation)) this.addValue(name, quantizations);
    for (const operation of operations) {
      // The integers of one layer at a time: together they are larger than the codes.
      const layers = Object.fromEntries(
        namesOf(operation, 'layer').map(({ name }) => [name, layerOf(weights[name])]),
      );
      this.addOperation(operation, new Context(quantizations, layers));
    }
    const last = operations[operations.length - 1];
    this.hasMasks = last.masks !== null;
  }

  /**
   * @param {string} name
   * @param {Record<string, Fields>} quantizations
   */
  addValue(name, quantizations) {
    const q = quantizations[name];
    const index =
      q === undefined
        ? this.functions.lbw_add_value(this.engine, 1, 0, 0, 0, 0)
        : this.functions.lbw_add_value(
            ...[this.engine, 0, q.zero_point, q.maximum, Number(q.rounding === 'ceil'), 0],
          );
    if (index < 0) throw this.error();
    this.values.set(name, index);
  }

  /**
   * @param {Fields} operation
   * @param {Context} context
   */
  addOperation(operation, context) {
    this.titles.push(`${operation.type} ${written(operation).join('')}`.trim());
    this.add(operation.type, [
      ...flat(operation, (name) => /** @type {number} */ (this.values.get(name))),
      ...Object.entries(constantsOf(operation, context)).map(([name, value]) => field(name, value)),
    ]);
  }

  /**
   * @param {string} operation
   * @param {EngineField[]} fields
   */
  add(operation, fields) {
    const { module } = this;
    /** @type {number[]} */
    const addresses = [];
    const copied = (/** @type {ArrayBufferView} */ array) => {
      addresses.push(module.copy(array));
      return addresses[addresses.length - 1];
    };
    try {
      const list = new DataView(new ArrayBuffer(FIELD_BYTES * fields.length));
      fields.forEach(({ name, kind, array }, index) => {
        const at = FIELD_BYTES * index;
        list.setUint32(at, copied(terminated(name)), true);
        list.setInt32(at + 4, kind, true);
        list.setBigInt64(at + 8, BigInt(array.length), true);
        list.setUint32(at + 16, copied(array), true);
      });
      const name = copied(terminated(operation));
      if (this.functions.lbw_add(this.engine, name, copied(list), fields.length) < 0)
        throw this.error(this.titles[this.titles.length - 1]);
    } finally {
      addresses.forEach((address) => module.free(address));
    }
  }

  /**
   * @param {Uint8Array} pixels [height, width, 3], blue, green, red
   * @param {number} height
   * @param {number} width
   * @returns {Detections}
   */
  detect(pixels, height, width) {
    const count = this.run(pixels, height, width, false);
    const { module } = this;
    const [boxes, scores, labels] = [16, 4, 8].map((bytes) => module.allocate(count * bytes));
    try {
      this.functions.lbw_result(this.engine, count, boxes, scores, labels);
      const wide = new BigInt64Array(module.memory.buffer.slice(labels, labels + 8 * count));
      return {
        boxes: new Float32Array(module.memory.buffer.slice(boxes, boxes + 16 * count)),
        scores: new Float32Array(module.memory.buffer.slice(scores, scores + 4 * count)),
        labels: Int32Array.from(wide, Number),
        masks: this.hasMasks ? Array.from({ length: count }, (_, i) => this.mask(i)) : null,
      };
    } finally {
      [boxes, scores, labels].forEach((address) => module.free(address));
    }
  }

  /**
   * @param {Uint8Array} pixels
   * @param {number} height
   * @param {number} width
   * @param {boolean} keep leaves all values for `value`
   * @returns {number} of detections
   */
  run(pixels, height, width, keep) {
    const count = height * width;
    if (!(count >= 1 && count <= ALLOWED_PIXELS && Math.max(height, width) <= MAX_SIDE))
      throw new ImageError(`the image has ${count} pixels; 1 to ${ALLOWED_PIXELS} are allowed`);
    if (pixels.length !== count * 3)
      throw new ImageError(`${pixels.length} numbers are not ${height} x ${width} pixels of 3`);
    const image = this.module.copy(pixels);
    try {
      const found = this.functions.lbw_run(this.engine, image, height, width, Number(keep));
      if (found < 0) throw this.error();
      return found;
    } finally {
      this.module.free(image);
    }
  }

  /**
   * A value of the last run, which kept them.
   * @param {string} name
   * @param {boolean} isFloat
   * @returns {{shape: number[], bytes: Uint8Array}}
   */
  value(name, isFloat) {
    const { module } = this;
    const index = /** @type {number} */ (this.values.get(name));
    const sides = module.allocate(32);
    if (this.functions.lbw_value_shape(this.engine, index, sides) < 0) throw this.error();
    const shape = Array.from(
      new BigInt64Array(module.memory.buffer.slice(sides, sides + 32)),
      Number,
    );
    module.free(sides);
    const size = shape.reduce((a, b) => a * b, isFloat ? 4 : 1);
    const out = module.allocate(size);
    if (this.functions.lbw_value(this.engine, index, out) < 0) throw this.error();
    const bytes = module.bytes(out, size).slice();
    module.free(out);
    return { shape, bytes };
  }

  /**
   * @param {number} index of a detection
   * @returns {Uint32Array}
   */
  mask(index) {
    const { module } = this;
    const count = Number(this.functions.lbw_mask(this.engine, index, 0n, 0));
    const runs = module.allocate(4 * count);
    this.functions.lbw_mask(this.engine, index, BigInt(count), runs);
    const found = new Uint32Array(module.memory.buffer.slice(runs, runs + 4 * count));
    module.free(runs);
    return found;
  }

  close() {
    if (this.engine) this.functions.lbw_destroy(this.engine);
    this.engine = 0;
  }

  /**
   * What the engine says of its last failure.
   * @param {string} [title] of the operation that was added
   */
  error(title) {
    const message = this.module.text(this.functions.lbw_last_error());
    // The engine knows operations by their number only.
    const named = message.replace(/^operation (\d+)/, (_, index) => this.titles[index]);
    return new EngineError(title === undefined ? named : `${title}: ${named}`);
  }
}

/** @typedef {{name: string, kind: number, array: Int32Array | Float32Array | Int8Array | Uint8Array}} EngineField */

/**
 * @param {string} name
 * @param {import('./constants.js').Constant} value numbers are int32
 * @returns {EngineField}
 */
export function field(name, value) {
  const array = typeof value === 'number' ? Int32Array.of(value) : value;
  let kind = KIND.int;
  if (array instanceof Float32Array) kind = KIND.float;
  else if (array instanceof Int8Array) kind = KIND.int8;
  else if (array instanceof Uint8Array) kind = KIND.uint8;
  return { name, kind, array };
}

/** @param {string} text */
function terminated(text) {
  return new TextEncoder().encode(`${text}\0`);
}

/** @param {Fields} operation */
function written(operation) {
  return namesOf(operation, 'writes').map(({ name }) => name);
}

/**
 * Every field of a record as the engine takes it; those of a record in it after a dot. Names of
 * values become their indices, names of layers stay texts.
 * @param {Fields} record
 * @param {(value: string) => number} indexOf
 * @param {string} [prefix]
 * @returns {EngineField[]}
 */
function flat(record, indexOf, prefix = '') {
  return Object.entries(records[record.type]).flatMap(([key, description]) => {
    const value = record[key];
    const name = prefix + key;
    const text = (/** @type {string} */ content) => ({
      name,
      kind: KIND.text,
      array: new TextEncoder().encode(content),
    });
    if (value === null) return [field(name, new Int32Array(0))];
    if (description.reads || description.writes)
      return [{ name, kind: KIND.value, array: Int32Array.from([value].flat(), indexOf) }];
    if (typeof value === 'string') return [text(value)];
    if (typeof value === 'object' && 'type' in value)
      return [text(value.type), ...flat(value, indexOf, `${name}.`)];
    const list = [value].flat();
    // Of several levels: the operation's constants flatten it.
    if (list.some((item) => Array.isArray(item))) return [];
    return [field(name, isReal(description) ? Float32Array.from(list) : Int32Array.from(list))];
  });
}

/**
 * @param {import('./fields.js').Description} description
 * @returns {boolean}
 */
function isReal({ is, of }) {
  if (is === 'tuple') return isReal(of[0]);
  return is === 'list' || is === 'optional' ? isReal(of) : is === 'float';
}
