/** Codes from bytes: bit-packed, or entropy-coded; as lbwdet/deploy/runtime/codes.py has them. */
import { ArtifactError, expect } from './errors.js';

// A symbol of a Huffman code takes a bit at least; this also bounds what a small file can become.
const MAX_INFLATION = 8;

/**
 * @param {Uint8Array<ArrayBuffer>} data
 * @param {number} number of codes
 * @param {number} bitWidth
 * @param {'bitpack' | 'deflate'} encoding
 * @returns {Promise<Int8Array>}
 */
export async function decode(data, number, bitWidth, encoding) {
  const deflated = encoding === 'deflate';
  // Codes from one byte boundary to the next; of whole bytes the upper bits stay unused.
  const perByte = Math.floor(8 / bitWidth);
  const size = deflated ? Math.ceil(number / perByte) : Math.ceil((number * bitWidth) / 8);
  const bytes = deflated ? await inflate(data, size) : data;
  expect(
    bytes.length === size,
    () => `${bytes.length} bytes given, ${size} expected for ${number} codes of ${bitWidth} bits`,
  );
  const codes = new Int8Array(number);
  const unused = deflated
    ? unpackWhole(bytes, bitWidth, perByte, codes)
    : unpackGapless(bytes, bitWidth, codes);
  expect(unused === 0, () => 'bits that hold no code are not zero');
  if (bitWidth === 1) for (let i = 0; i < number; ++i) codes[i] |= 1; // 0 and -1 mean +1 and -1
  return codes;
}

/**
 * Moves every code to the top of its byte, then down: the sign comes along.
 * @param {Uint8Array} bytes
 * @param {number} bits
 * @param {number} perByte
 * @param {Int8Array} codes
 * @returns {number} bits that hold no code
 */
function unpackWhole(bytes, bits, perByte, codes) {
  let at = 0;
  let unused = 0;
  for (const byte of bytes) {
    const end = Math.min(at + perByte, codes.length);
    let rest = byte;
    for (; at < end; ++at, rest >>= bits) codes[at] = (rest << (32 - bits)) >> (32 - bits);
    unused |= rest;
  }
  return unused;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} bits
 * @param {Int8Array} codes
 */
function unpackGapless(bytes, bits, codes) {
  let rest = 0;
  let held = 0;
  let next = 0;
  for (let at = 0; at < codes.length; ++at) {
    if (held < bits) {
      rest |= bytes[next++] << held;
      held += 8;
    }
    codes[at] = (rest << (32 - bits)) >> (32 - bits);
    rest >>= bits;
    held -= bits;
  }
  return rest;
}

/**
 * @param {Uint8Array<ArrayBuffer>} data a zlib stream
 * @param {number} size that it must hold
 */
async function inflate(data, size) {
  expect(
    size <= MAX_INFLATION * data.length,
    () => `${data.length} bytes cannot hold ${size} Huffman-coded ones`,
  );
  const result = new Uint8Array(size);
  const stream = new DecompressionStream('deflate');
  const writer = stream.writable.getWriter();
  // Errors show on the side that is read.
  writer.write(data).catch(() => {});
  writer.close().catch(() => {});
  const reader = stream.readable.getReader();
  let filled = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (filled + value.length > size) {
        filled = -1;
        await reader.cancel();
        break;
      }
      result.set(value, filled);
      filled += value.length;
    }
  } catch (error) {
    throw new ArtifactError(`not a zlib stream: ${/** @type {Error} */ (error).message}`);
  }
  expect(filled === size, () => `the zlib stream does not hold exactly ${size} bytes`);
  return result;
}
