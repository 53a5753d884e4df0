// Reads FOLDER/0.lbw, 1.lbw, ... and runs a small image; prints "ok" or the error of each, as JSON.
//   node read_files.mjs FOLDER COUNT
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { readArtifact } from '../../web/lbwdet/artifact.js';
import { Engine } from '../../web/lbwdet/engine.js';
import { Module } from '../../web/lbwdet/module.js';

const [, , folder, count] = process.argv;
const wasm = await readFile(new URL('../../web/built/simd128.wasm', import.meta.url));
const answers = [];
let module = await Module.from(wasm);
for (let i = 0; i < Number(count); ++i) {
  try {
    const file = await readFile(join(folder, `${i}.lbw`));
    const artifact = await readArtifact(
      file.buffer.slice(file.byteOffset, file.byteOffset + file.length),
    );
    const engine = new Engine(module, { memoryLimit: 2 ** 26, workLimit: 2 ** 32 });
    engine.addProgram(artifact);
    engine.detect(new Uint8Array(24 * 32 * 3), 24, 32);
    engine.close();
    answers.push('ok');
  } catch (error) {
    module = await Module.from(wasm); // as a page does: the old one may be in any state
    // A trap: how worker.js names it.
    const name = error instanceof WebAssembly.RuntimeError ? 'EngineError' : error.name;
    answers.push(`${name}: ${error.message}`);
  }
}
console.log(JSON.stringify(answers));
