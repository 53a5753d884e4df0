/**
 * A low-bit detector in a web page: image in, boxes with names out. See index.d.ts.
 *
 * The engine runs in a worker, so that the page stays alive; what is cancelled is ended with its
 * worker, and the next image starts another one.
 */
import { ArtifactError, EngineError, ImageError, LBWError } from './errors.js';
import { fastest, INSTRUCTION_SETS } from './module.js';

export { ArtifactError, EngineError, ImageError, LBWError };

/** @typedef {import('./index.d.ts').DetectorOptions} DetectorOptions */
/** @typedef {import('./index.d.ts').DetectOptions} DetectOptions */
/** @typedef {import('./index.d.ts').Detections} Detections */
/** @typedef {import('./index.d.ts').Pixels} Pixels */

const MAX_PIXELS = 2 ** 27; // 4 bytes each in the page and 3 in the engine, which has 2 GiB
/** @type {Record<string, new (message: string) => Error>} */
const ERRORS = { ArtifactError, EngineError, ImageError };

export class Detector {
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Promise<unknown>} */
  #last = Promise.resolve(); // an image waits for those before it
  #closing = new AbortController();
  /** @type {ArrayBuffer} */
  #model;
  /** @type {ArrayBuffer} */
  #module;

  /**
   * @param {ArrayBuffer} model
   * @param {ArrayBuffer} module
   * @hideconstructor use `Detector.load`
   */
  constructor(model, module) {
    this.#model = model;
    this.#module = module;
    /** @type {readonly string[]} */
    this.classes = [];
    this.instructionSet = '';
    this.bytes = model.byteLength;
  }

  /**
   * @param {string | URL | Blob | ArrayBuffer} model
   * @param {DetectorOptions} [options]
   */
  static async load(model, { signal, instructionSet = fastest() } = {}) {
    if (!INSTRUCTION_SETS.includes(instructionSet))
      throw new EngineError(
        `instructionSet is ${instructionSet}; there are ${INSTRUCTION_SETS.join(', ')}`,
      );
    const [bytes, module] = await Promise.all([
      bytesOf(model, signal),
      fetched(new URL(`../built/${instructionSet}.wasm`, import.meta.url), signal),
    ]);
    const detector = new Detector(bytes, module);
    try {
      await detector.#start(signal);
    } catch (error) {
      detector.close();
      throw error;
    }
    return detector;
  }

  /**
   * @param {Pixels | ImageBitmapSource} image
   * @param {DetectOptions} [options]
   * @returns {Promise<Detections>}
   */
  detect(image, { signal, scoreThreshold = 0 } = {}) {
    const turn = this.#last.then(async () => {
      signal?.throwIfAborted();
      this.#closing.signal.throwIfAborted();
      const pixels = await pixelsOf(image);
      this.#closing.signal.throwIfAborted();
      if (this.#worker === null) await this.#start(signal);
      const found = await this.#ask({ image: pixels }, [], signal);
      return this.#named(found, scoreThreshold);
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  close() {
    this.#closing.abort(new EngineError('this detector was closed'));
    this.#end();
  }

  #end() {
    this.#worker?.terminate();
    this.#worker = null;
  }

  /** @param {AbortSignal} [signal] */
  async #start(signal) {
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    const load = { model: this.#model, module: this.#module };
    const { classes, instructionSet } = await this.#ask({ load }, [], signal);
    this.classes = classes;
    this.instructionSet = instructionSet;
  }

  /**
   * @param {any} message
   * @param {Transferable[]} transferred
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>} the worker's answer
   */
  #ask(message, transferred, signal) {
    const worker = /** @type {Worker} */ (this.#worker);
    return new Promise((resolve, reject) => {
      const settled = new AbortController(); // takes the listeners away
      const listen = { signal: settled.signal };
      const fail = (/** @type {any} */ reason) => {
        settled.abort();
        this.#end();
        reject(reason);
      };
      for (const ending of [signal, this.#closing.signal]) {
        if (ending?.aborted) return fail(ending.reason);
        ending?.addEventListener('abort', () => fail(ending.reason), listen);
      }
      worker.addEventListener(
        'message',
        ({ data: { result, error } }) => {
          if (!error) {
            settled.abort();
            return resolve(result);
          }
          const known = ERRORS[error.name] ?? EngineError;
          const reason = new known(error.message);
          // An engine that was stopped in the middle may be in any state: the next image gets another.
          if (known === EngineError) return fail(reason);
          settled.abort();
          reject(reason);
        },
        listen,
      );
      worker.addEventListener(
        'error',
        (event) => fail(new EngineError(`the worker ended: ${event.message ?? 'not loaded'}`)),
        listen,
      );
      worker.postMessage(message, transferred);
    });
  }

  /**
   * @param {any} found
   * @param {number} threshold
   * @returns {Detections}
   */
  #named({ boxes, scores, labels, masks, milliseconds }, threshold) {
    let count = scores.findIndex((/** @type {number} */ score) => score < threshold);
    if (count < 0) count = scores.length; // best first
    const kept = labels.slice(0, count);
    return {
      boxes: boxes.slice(0, 4 * count),
      scores: scores.slice(0, count),
      labels: kept,
      names: Array.from(kept, (label) => this.classes[label]),
      masks: masks === null ? null : masks.slice(0, count),
      milliseconds,
    };
  }
}

/**
 * @param {string | URL | Blob | ArrayBuffer} model
 * @param {AbortSignal} [signal]
 */
async function bytesOf(model, signal) {
  if (model instanceof ArrayBuffer) return model.slice(0); // the caller's may change
  if (model instanceof Blob) return model.arrayBuffer();
  return fetched(model, signal);
}

/**
 * @param {string | URL} address
 * @param {AbortSignal} [signal]
 */
async function fetched(address, signal) {
  let answer;
  try {
    answer = await fetch(address, { signal });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new ArtifactError(`${address} cannot be read: ${/** @type {Error} */ (error).message}`);
  }
  if (!answer.ok) throw new ArtifactError(`${address} cannot be read: status ${answer.status}`);
  return answer.arrayBuffer();
}

/**
 * @param {any} image
 * @returns {Promise<Pixels>}
 */
async function pixelsOf(image) {
  if (image?.data instanceof Uint8ClampedArray || image?.data instanceof Uint8Array)
    return checkedPixels(image);
  let bitmap;
  try {
    // As files give them: no change of colours that a screen might want.
    bitmap = await createImageBitmap(image, { colorSpaceConversion: 'none' });
  } catch (error) {
    throw new ImageError(`no image that a browser reads: ${/** @type {Error} */ (error).message}`);
  }
  try {
    const { width, height } = bitmap;
    checkSize(width, height);
    const context = new OffscreenCanvas(width, height).getContext('2d', {
      willReadFrequently: true,
    });
    if (context === null)
      throw new ImageError(`no canvas of ${width} x ${height} pixels can be had`);
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height);
  } catch (error) {
    if (error instanceof ImageError) throw error;
    throw new ImageError(`the image cannot be drawn: ${/** @type {Error} */ (error).message}`);
  } finally {
    bitmap.close();
  }
}

/** @param {Pixels} image */
function checkedPixels({ data, width, height }) {
  checkSize(width, height);
  if (data.length !== width * height * 4)
    throw new ImageError(
      `${data.length} numbers are not ${width} x ${height} pixels of red, green, blue, opacity`,
    );
  return { data, width, height };
}

/**
 * @param {number} width
 * @param {number} height
 */
function checkSize(width, height) {
  const whole = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!whole || width * height > MAX_PIXELS)
    throw new ImageError(
      `the image has ${width} x ${height} pixels; 1 to ${MAX_PIXELS} are allowed`,
    );
}
