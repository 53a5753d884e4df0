// Times a detector in Chromium against onnxruntime-web, one thread each.
//   node web/benchmark/benchmark.mjs --model model.lbw --float float.onnx --int8 int8.onnx
//        --images FOLDER --out FILE.json [--num 8] [--rounds 5] [--chromium PATH]
//
// onnxruntime-web and playwright-core: npm install --prefix web. The ONNX files are YOLOX's, with
// an input [1, 3, side, side]; static_int8.py makes the second one of the first.
import { execFileSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { cpus, loadavg, platform, release } from 'node:os';
import { basename, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

const WEB = fileURLToPath(new URL('..', import.meta.url));
const ORT = join(WEB, 'node_modules', 'onnxruntime-web');
const { chromium } = createRequire(join(WEB, 'package.json'))('playwright-core');

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    float: { type: 'string' },
    int8: { type: 'string' },
    images: { type: 'string' },
    out: { type: 'string' },
    num: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '5' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
  },
});
for (const name of ['model', 'float', 'int8', 'images', 'out'])
  if (options[name] === undefined) {
    console.error(`error: --${name} is missing`);
    process.exit(2);
  }

const ENGINES = ['lbwdet', 'onnxruntime-web float', 'onnxruntime-web int8'];
const ORT_FILES = ['ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'];
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

// Evenly taken, always the same.
const names = (await readdir(options.images)).filter((name) => /\.(jpe?g|png)$/i.test(name)).sort();
const number = Math.min(Number(options.num), names.length);
const images = Array.from({ length: number }, (_, i) =>
  join(options.images, names[Math.floor((i * names.length) / number)]),
);

const downloaded = new Set(); // what a page asked for, to be weighed
const server = createServer(async (request, response) => {
  const path = decodeURIComponent(request.url.split('?')[0]);
  const file = fileOf(path);
  try {
    if (path === '/')
      return response.setHeader('content-type', 'text/html').end('<title>benchmark</title>');
    await stat(file);
    downloaded.add(file);
    response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream');
    createReadStream(file).pipe(response);
  } catch {
    response.writeHead(404).end();
  }
});

function fileOf(path) {
  const [, room, ...rest] = path.split('/');
  if (room === 'models') return options[rest[0]];
  if (room === 'images') return images[Number(rest[0])];
  if (room === 'ort') return join(ORT, 'dist', basename(path));
  return join(WEB, path);
}

// In the page: makes one engine, which answers an image by milliseconds.
async function prepare(engine) {
  const pixelsOf = async (blob) => {
    const bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none' });
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const pen = canvas.getContext('2d');
    pen.drawImage(bitmap, 0, 0);
    return pen.getImageData(0, 0, bitmap.width, bitmap.height);
  };
  self.engines ??= {};
  const start = performance.now();
  const first = await (await fetch('/images/0')).blob();
  const read = performance.now();
  if (engine === 'lbwdet') {
    const { Detector } = await import('/lbwdet/detector.js');
    const detector = await Detector.load('/models/model');
    self.engines[engine] = async (image) => (await detector.detect(image)).milliseconds;
  } else {
    const ort = await import('/ort/ort.wasm.min.mjs');
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = '/ort/';
    const session = await ort.InferenceSession.create(`/models/${engine.split(' ')[1]}`, {
      executionProviders: ['wasm'],
    });
    const [name] = session.inputNames;
    const side = session.inputMetadata?.[0]?.shape?.[3] ?? 416;
    self.engines[engine] = async (image) => {
      // The picture's size changes nothing of a network's time: its upper left corner does.
      const tensor = new Float32Array(3 * side * side).fill(114);
      const [width, height] = [Math.min(image.width, side), Math.min(image.height, side)];
      for (let c = 0; c < 3; ++c)
        for (let y = 0; y < height; ++y)
          for (let x = 0; x < width; ++x)
            tensor[(c * side + y) * side + x] = image.data[4 * (y * image.width + x) + 2 - c];
      const begin = performance.now();
      await session.run({ [name]: new ort.Tensor('float32', tensor, [1, 3, side, side]) });
      return performance.now() - begin;
    };
  }
  await self.engines[engine](await pixelsOf(first));
  self.pixelsOf = pixelsOf;
  return performance.now() - start - (read - start);
}

const browser = await (async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return chromium.launch({ executablePath: options.chromium, args: ['--no-sandbox'] });
})();
const address = `http://127.0.0.1:${server.address().port}/`;
const fresh = async () => {
  const page = await (await browser.newContext()).newPage();
  page.on('pageerror', (error) => console.error(String(error)));
  await page.goto(address);
  return page;
};
const results = Object.fromEntries(ENGINES.map((name) => [name, { start_ms: [], latency_ms: [] }]));
const load = [loadavg()[0]];

for (let round = 0; round < 5; ++round)
  for (const engine of ENGINES) {
    downloaded.clear();
    const page = await fresh();
    results[engine].start_ms.push(await page.evaluate(prepare, engine));
    results[engine].files = [...downloaded].filter((file) => !images.includes(file));
    await page.context().close();
  }

const page = await fresh();
for (const engine of ENGINES) await page.evaluate(prepare, engine);
for (let round = 0; round < Number(options.rounds); ++round)
  for (let i = 0; i < images.length; ++i) {
    const turn = round * images.length + i;
    const order = ENGINES.map((_, place) => ENGINES[(place + turn) % ENGINES.length]);
    if (Math.floor(turn / ENGINES.length) % 2) order.reverse(); // each follows each of the others
    const times = await page.evaluate(
      async ({ index, order }) => {
        const image = await self.pixelsOf(await (await fetch(`/images/${index}`)).blob());
        const times = [];
        for (const engine of order) times.push(await self.engines[engine](image));
        return times;
      },
      { index: i, order },
    );
    order.forEach((engine, place) => results[engine].latency_ms.push(times[place]));
  }
load.push(loadavg()[0]);

const quantile = (numbers, share) =>
  [...numbers].sort((a, b) => a - b)[Math.floor(share * (numbers.length - 1))];
const rounded = (value) => Number(value.toFixed(1));
const engines = {};
for (const [name, { start_ms: starts, latency_ms: times, files }] of Object.entries(results)) {
  const contents = await Promise.all(files.map((file) => readFile(file)));
  const weight = (weigh) => contents.reduce((sum, content) => sum + weigh(content), 0);
  engines[name] = {
    download_bytes: weight((content) => content.length),
    download_bytes_gzip: weight((content) => gzipSync(content, { level: 9 }).length),
    files: files.length,
    start_ms: rounded(quantile(starts, 0.5)),
    latency_ms: rounded(quantile(times, 0.5)),
    latency_ms_tenth: rounded(quantile(times, 0.1)),
    latency_ms_ninth_tenth: rounded(quantile(times, 0.9)),
  };
}
const git = (...words) => execFileSync('git', ['-C', WEB, ...words], { encoding: 'utf8' }).trim();
const report = {
  study: 'web',
  protocol:
    'One page of headless Chromium, one thread per engine, all engines in turn on each image, the order rotating. ' +
    'latency: of lbwdet all from the pixels to the boxes; of onnxruntime-web the network alone, without resizing and ' +
    'suppression. start: a new page, from nothing to the first answer, files from this machine; median of 5. ' +
    'download: all that was asked for, as it is and with gzip -9.',
  machine: {
    cpu: cpus()[0].model,
    cores: cpus().length,
    system: `${platform()} ${release()}`,
    load,
  },
  browser: `Chromium ${browser.version()}`,
  onnxruntime_web: JSON.parse(await readFile(join(ORT, 'package.json'))).version,
  commit: git('rev-parse', 'HEAD') + (git('status', '--porcelain') ? ' with changes' : ''),
  date: new Date().toISOString().slice(0, 10),
  models: Object.fromEntries(
    ['model', 'float', 'int8'].map((name) => [name, basename(options[name])]),
  ),
  images: images.length,
  rounds: Number(options.rounds),
  engines,
};
await writeFile(options.out, `${JSON.stringify(report, null, 2)}\n`);
for (const [name, found] of Object.entries(engines))
  console.log(
    `${name.padEnd(22)} ${(found.download_bytes / 1e6).toFixed(2)} MB (gzip ${(found.download_bytes_gzip / 1e6).toFixed(2)})` +
      `  start ${found.start_ms} ms  latency ${found.latency_ms} ms (${found.latency_ms_tenth} to ${found.latency_ms_ninth_tenth})`,
  );
await browser.close();
server.close();
