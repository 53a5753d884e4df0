// Runs cases that a Python test wrote, in the engine that a browser runs.
//   node run_cases.mjs MODULE.wasm CASES.json RESULTS.json
// A case is an artifact with images, or one operation with all that it needs; its result is the
// bytes of what came out, in base64, or the error.
import { readFile, writeFile } from 'node:fs/promises';

import { readArtifact } from '../../web/lbwdet/artifact.js';
import { Context } from '../../web/lbwdet/constants.js';
import { Engine, field } from '../../web/lbwdet/engine.js';
import { operationFromJson, recordFromJson } from '../../web/lbwdet/fields.js';
import { Module } from '../../web/lbwdet/module.js';
import { layerOf } from '../../web/lbwdet/weights.js';

const [, , modulePath, casesPath, resultsPath] = process.argv;
const NUMBERS = { int8: Int8Array, uint8: Uint8Array, float32: Float32Array };
const NO_LIMIT = { memoryLimit: 2 ** 31, workLimit: 2 ** 40 };

const array = ({ dtype, data }) => {
  const bytes = new Uint8Array(Buffer.from(data, 'base64')); // a copy, aligned
  return new NUMBERS[dtype](bytes.buffer);
};
const base64 = (view) =>
  Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('base64');
const detected = ({ boxes, scores, labels, masks }) => ({
  detections: [boxes, scores, labels, ...(masks ?? [])].map(base64),
});

async function runArtifact(module, { path, images }) {
  const file = await readFile(path);
  const artifact = await readArtifact(
    file.buffer.slice(file.byteOffset, file.byteOffset + file.length),
  );
  const engine = new Engine(module);
  try {
    engine.addProgram(artifact);
    return images.map((image) => detected(engine.detect(array(image), ...image.shape.slice(0, 2))));
  } finally {
    engine.close();
  }
}

function runOperation(
  module,
  { operation: json, values, quantizations: described, weights, image, resized },
) {
  const operation = operationFromJson(json, 'the case');
  const quantizations = Object.fromEntries(
    Object.entries(described).map(([name, value]) => [
      name,
      recordFromJson('Quantization', value, name),
    ]),
  );
  const layers = Object.fromEntries(
    Object.entries(weights).map(([name, { arrays, ...rest }]) => {
      const [codes, scale, gain, bias] = arrays.map(array);
      return [name, layerOf({ ...rest, codes, scale, gain, bias })];
    }),
  );
  const engine = new Engine(module, NO_LIMIT);
  try {
    const written = operation.output;
    for (const name of [...Object.keys(values), ...(written ? [written] : [])])
      engine.addValue(name, quantizations);
    for (const [name, value] of Object.entries(values))
      engine.add('Given', [
        { name: 'output', kind: 5, array: Int32Array.of(engine.values.get(name)) },
        field('shape', Int32Array.from(value.shape)),
        field(value.dtype === 'uint8' ? 'bytes' : 'floats', array(value)),
        field('resized', Int32Array.from(resized)),
      ]);
    engine.addOperation(operation, new Context(quantizations, layers));
    const [height, width] = image.shape;
    if (!written) {
      engine.hasMasks = Object.keys(values).length > 1;
      return detected(engine.detect(array(image), height, width));
    }
    engine.run(array(image), height, width, true);
    const { shape, bytes } = engine.value(written, !(written in quantizations));
    return { shape, value: base64(bytes) };
  } finally {
    engine.close();
  }
}

const module = await Module.from(await readFile(modulePath));
const results = [];
for (const given of JSON.parse(await readFile(casesPath, 'utf8'))) {
  try {
    results.push(given.path ? await runArtifact(module, given) : runOperation(module, given));
  } catch (error) {
    results.push({ error: `${error.name}: ${error.message}`, stack: error.stack });
  }
}
await writeFile(resultsPath, JSON.stringify(results));
