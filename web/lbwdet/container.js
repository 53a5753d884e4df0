/**
 * Named arrays in one file, the safetensors format; as lbwdet/deploy/runtime/container.py reads it.
 *
 * Nothing is believed: lengths are held against the size of the file, and the table of arrays
 * against the data, before any array is made.
 */
import { ArtifactError, expect, shown } from './errors.js';
import { isObject, parseJson } from './json.js';

const MAX_FILE = 2 ** 30; // bytes
const MAX_HEADER = 8 * 2 ** 20;
const LENGTH_BYTES = 8;

/** @typedef {Float32Array<ArrayBuffer> | Int16Array<ArrayBuffer> | Uint8Array<ArrayBuffer>} Numbers */

/** @type {Record<string, new (buffer: ArrayBuffer) => Numbers>} */
const DTYPES = { F32: Float32Array, I16: Int16Array, U8: Uint8Array };

/**
 * @typedef {object} Container
 * @property {Record<string, string>} metadata texts that come with the arrays
 * @property {Map<string, {dtype: string, shape: number[], numbers: Numbers}>} arrays by name
 * @property {Uint8Array<ArrayBuffer>} data all of them in a row
 */

/**
 * @param {ArrayBuffer} file
 * @returns {Container}
 */
export function readContainer(file) {
  const size = file.byteLength;
  expect(size >= LENGTH_BYTES, () => `${size} bytes are too few for an artifact; is it cut off?`);
  expect(size <= MAX_FILE, () => `${size} bytes are too many for an artifact, at most ${MAX_FILE}`);
  const length = Number(new DataView(file).getBigUint64(0, true));
  expect(
    length <= MAX_HEADER,
    () =>
      `not an artifact: its first 8 bytes give a header of ${length} bytes, ` +
      `at most ${MAX_HEADER} are allowed`,
  );
  expect(
    length <= size - LENGTH_BYTES,
    () =>
      `cut off: the header has ${length} bytes, but after its length come only ` +
      `${size - LENGTH_BYTES}`,
  );
  const header = parseJson(utf8(new Uint8Array(file, LENGTH_BYTES, length)), 'the header');
  expect(isObject(header), () => `the header is ${shown(header)} instead of an object`);
  const { __metadata__: metadata = {}, ...table } = header;
  expect(isObject(metadata), () => `__metadata__ is ${shown(metadata)} instead of an object`);
  for (const [key, value] of Object.entries(metadata))
    expect(
      typeof value === 'string',
      () => `__metadata__.${shown(key)} is ${shown(value)} instead of a text`,
    );
  const data = new Uint8Array(file, LENGTH_BYTES + length);
  return { metadata, arrays: arraysOf(table, data), data };
}

/**
 * @param {Record<string, any>} table
 * @param {Uint8Array<ArrayBuffer>} data
 */
function arraysOf(table, data) {
  const entries = Object.entries(table).map(([name, entry]) => checkedEntry(name, entry));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let expected = 0;
  for (const { name, begin, end } of entries) {
    const problem = begin < expected ? 'overlaps the array' : 'leaves a gap to the array';
    expect(
      begin === expected,
      () => `array ${shown(name)} begins at ${begin} and ${problem} that ends at ${expected}`,
    );
    expected = end;
  }
  const problem = data.length < expected ? 'cut off' : 'too long';
  expect(
    data.length === expected,
    () => `${problem}: the arrays take ${expected} bytes, the file has ${data.length} for them`,
  );
  return new Map(
    entries.map(({ name, dtype, shape, begin, end }) => {
      // A copy: the data need not be aligned as the numbers must be.
      const numbers = new DTYPES[dtype](data.slice(begin, end).buffer);
      return [name, { dtype, shape, numbers }];
    }),
  );
}

/**
 * @param {string} name
 * @param {any} entry
 */
function checkedEntry(name, entry) {
  const place = `array ${shown(name)}`;
  expect(isObject(entry), () => `${place} is ${shown(entry)} instead of an object`);
  const fields = Object.keys(entry).sort().join(', ');
  expect(
    fields === 'data_offsets, dtype, shape',
    () => `${place} has the fields ${shown(fields)} instead of dtype, shape, data_offsets`,
  );
  const { dtype, shape, data_offsets: offsets } = entry;
  expect(
    typeof dtype === 'string' && Object.hasOwn(DTYPES, dtype),
    () => `${place} has the dtype ${shown(dtype)}; allowed are ${Object.keys(DTYPES).join(', ')}`,
  );
  for (const [part, sizes] of Object.entries({ shape, data_offsets: offsets })) {
    expect(
      Array.isArray(sizes) && sizes.length <= 8,
      () => `${place}: ${part} is ${shown(sizes)} instead of a list of sizes`,
    );
    expect(
      sizes.every((/** @type {any} */ side) => Number.isSafeInteger(side) && side >= 0),
      () => `${place}: ${part} is ${shown(sizes)}; sizes are integers from 0`,
    );
  }
  const size = DTYPES_BYTES[dtype] * product(shape);
  expect(
    offsets.length === 2 && offsets[1] - offsets[0] === size,
    () =>
      `${place}: data_offsets ${shown(offsets)} do not span ${size} bytes, ` +
      `the size of ${dtype} ${shown(shape)}`,
  );
  return { name, dtype, shape, begin: offsets[0], end: offsets[1] };
}

/** @type {Record<string, number>} */
const DTYPES_BYTES = { F32: 4, I16: 2, U8: 1 };

/** @param {number[]} sides */
export function product(sides) {
  return sides.reduce((a, b) => a * b, 1);
}

/** @param {Uint8Array} bytes */
function utf8(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ArtifactError('the header is not UTF-8');
  }
}

const CRC = new Uint32Array(256).map((_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; ++bit) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

/**
 * CRC-32 of several pieces one after the other, as 8 hexadecimal digits.
 * @param {...Uint8Array} pieces
 */
export function checksum(...pieces) {
  let rest = 0xffffffff;
  for (const piece of pieces)
    for (let i = 0; i < piece.length; ++i) rest = CRC[(rest ^ piece[i]) & 255] ^ (rest >>> 8);
  return ((rest ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0');
}
