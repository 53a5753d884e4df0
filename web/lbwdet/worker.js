/**
 * The other thread: it has an engine, and answers what detector.js asks.
 *
 * Messages: {load: {model, module}} first, then {image}; answers {result} or
 * {error: {name, message}}. One after the other, so that they need no numbers.
 */
import { readArtifact } from './artifact.js';
import { Engine } from './engine.js';
import { EngineError } from './errors.js';
import { Module } from './module.js';

/** @type {Engine | undefined} */
let engine;

/** @param {{model: ArrayBuffer, module: ArrayBuffer}} given */
async function load({ model, module }) {
  const artifact = await readArtifact(model);
  engine = new Engine(await Module.from(module));
  engine.addProgram(artifact);
  return { classes: artifact.classes, instructionSet: engine.instructionSet };
}

/** @param {{data: Uint8ClampedArray, width: number, height: number}} image of red, green, blue, opacity */
function detect({ data, width, height }) {
  if (engine === undefined) throw new EngineError('no model was loaded');
  const pixels = new Uint8Array(width * height * 3); // blue, green, red
  for (let from = 0, to = 0; to < pixels.length; from += 4, to += 3) {
    pixels[to] = data[from + 2];
    pixels[to + 1] = data[from + 1];
    pixels[to + 2] = data[from];
  }
  const start = performance.now();
  const found = engine.detect(pixels, height, width);
  return { ...found, milliseconds: performance.now() - start };
}

self.addEventListener('message', async ({ data: { load: given, image } }) => {
  try {
    self.postMessage({ result: given ? await load(given) : detect(image) });
  } catch (error) {
    self.postMessage({ error: described(error) });
  }
});

/** @param {unknown} error */
function described(error) {
  // What WebAssembly throws at a program that does not fit together: its memory is its own.
  if (error instanceof WebAssembly.RuntimeError)
    return { name: 'EngineError', message: `the model's program cannot be run: ${error.message}` };
  if (error instanceof RangeError)
    return { name: 'EngineError', message: `out of memory: ${error.message}` };
  const { name, message } = /** @type {Error} */ (error);
  return { name, message };
}
