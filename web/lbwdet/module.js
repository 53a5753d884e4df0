/**
 * The engine's WebAssembly module: finding the fastest that this browser can run, and its memory.
 * The names of its functions are those of lbwdet/deploy/csrc/lbw.h.
 */
import { EngineError } from './errors.js';

/** @typedef {'simd128' | 'portable'} InstructionSet */

/** @type {readonly InstructionSet[]} */
export const INSTRUCTION_SETS = ['portable', 'simd128']; // slowest first
const ABI = 6;
const ERRNO_NOSYS = 52;

// The smallest module with an instruction of simd128: a function that makes a vector of zeros.
const VECTOR_MODULE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0],
  ...[10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
);

/** @returns {InstructionSet} the fastest here */
export function fastest() {
  return WebAssembly.validate(VECTOR_MODULE) ? 'simd128' : 'portable';
}

/** The memory and the functions of one instance. */
export class Module {
  /** @param {WebAssembly.Instance} instance */
  constructor(instance) {
    /** @type {Record<string, (...values: any[]) => any>} */
    this.functions = /** @type {any} */ (instance.exports);
    this.memory = /** @type {WebAssembly.Memory} */ (instance.exports.memory);
    this.functions._initialize();
    if (this.functions.lbw_abi() !== ABI)
      throw new EngineError('the engine is of another version than this page: reload it');
  }

  /**
   * @param {BufferSource} bytes of the module
   * @returns {Promise<Module>}
   */
  static async from(bytes) {
    /** @type {WebAssembly.Memory | undefined} */
    let memory;
    const { instance } = await WebAssembly.instantiate(bytes, {
      env: { emscripten_notify_memory_growth() {} },
      wasi_snapshot_preview1: {
        proc_exit() {
          throw new EngineError('the engine stopped itself');
        },
        clock_time_get(
          /** @type {number} */ _id,
          /** @type {any} */ _precision,
          /** @type {number} */ at,
        ) {
          const nanoseconds = BigInt(Math.round(performance.now() * 1e6));
          new DataView(/** @type {WebAssembly.Memory} */ (memory).buffer).setBigUint64(
            at,
            nanoseconds,
            true,
          );
          return 0;
        },
        fd_write: () => ERRNO_NOSYS,
        fd_seek: () => ERRNO_NOSYS,
        fd_close: () => ERRNO_NOSYS,
      },
    });
    memory = /** @type {WebAssembly.Memory} */ (instance.exports.memory);
    return new Module(instance);
  }

  /**
   * Memory of the module's; throws if there is no more.
   * @param {number} bytes
   * @returns {number} its address
   */
  allocate(bytes) {
    const address = this.functions.malloc(Math.max(bytes, 1)) >>> 0;
    if (address === 0) throw new EngineError(`out of memory: ${bytes} bytes could not be had`);
    return address;
  }

  /** @param {number} address */
  free(address) {
    this.functions.free(address);
  }

  /**
   * A copy of an array in the module's memory.
   * @param {ArrayBufferView} array
   * @returns {number} its address
   */
  copy(array) {
    const address = this.allocate(array.byteLength);
    this.bytes(address, array.byteLength).set(
      new Uint8Array(array.buffer, array.byteOffset, array.byteLength),
    );
    return address;
  }

  /**
   * A view that is valid until memory is allocated.
   * @param {number} address
   * @param {number} count
   */
  bytes(address, count) {
    return new Uint8Array(this.memory.buffer, address, count);
  }

  /** @param {number} address of a text that ends with 0 */
  text(address) {
    const all = new Uint8Array(this.memory.buffer, address);
    return new TextDecoder().decode(all.slice(0, all.indexOf(0)));
  }
}
