// Opens the page in Chromium and does what people do; the findings go to a JSON file.
//   node look_at_page.mjs CHROMIUM ADDRESS FOLDER
// FOLDER has model.lbw, second.lbw, damaged.lbw, images as PNG and as raw pixels (images.json),
// and gets findings.json and pictures of the screen.
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(new URL('../../web/package.json', import.meta.url));
const { chromium } = require('playwright-core');

const [, , executablePath, address, folder] = process.argv;
const file = (name) => join(folder, name);
const findings = { console: [] };

const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox',
    '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream',
    '--autoplay-policy=no-user-gesture-required',
  ],
});

async function opened(viewport) {
  const context = await browser.newContext({ viewport });
  const page = await context.newPage();
  page.on('pageerror', (error) => findings.console.push(String(error)));
  await page.goto(address);
  return page;
}

async function chosen(page, button, paths) {
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), button.click()]);
  await chooser.setFiles(paths);
}

async function dropped(page, names) {
  const files = await Promise.all(
    names.map(async (name) => ({ name, data: (await readFile(file(name))).toString('base64') })),
  );
  await page.evaluate(async (files) => {
    const transfer = new DataTransfer();
    for (const { name, data } of files) {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      transfer.items.add(
        new File([bytes], name, { type: name.endsWith('png') ? 'image/png' : '' }),
      );
    }
    const options = { dataTransfer: transfer, bubbles: true };
    document.body.dispatchEvent(new DragEvent('dragenter', options));
    document.body.dispatchEvent(new DragEvent('drop', options));
  }, files);
}

// What programs do with the package.
async function usedAsPackage(page) {
  const images = JSON.parse(await readFile(file('images.json'), 'utf8'));
  const inPage = async ({ images }) => {
    const { Detector } = await import('/lbwdet/detector.js');
    const bytes = async (name) => (await fetch(`/files/${name}`)).arrayBuffer();
    const plain = ({ boxes, scores, labels, names }) => ({
      boxes: [...boxes],
      scores: [...scores],
      labels: [...labels],
      names,
    });
    const failure = async (promise) =>
      promise.then(
        () => 'no error',
        ({ name, message }) => `${name}: ${message}`,
      );
    const findings = { found: {}, files: [] };
    const pixels = images.map(({ data, width, height }) => ({
      data: Uint8ClampedArray.from(atob(data), (letter) => letter.charCodeAt(0)),
      width,
      height,
    }));
    for (const instructionSet of ['portable', 'simd128']) {
      const detector = await Detector.load('/files/model.lbw', { instructionSet });
      findings.found[instructionSet] = [];
      for (const image of pixels)
        findings.found[instructionSet].push(plain(await detector.detect(image)));
      findings.classes = detector.classes;
      detector.close();
    }
    const detector = await Detector.load(await bytes('model.lbw'));
    findings.fastest = detector.instructionSet;
    for (let i = 0; i < pixels.length; ++i)
      findings.files.push(plain(await detector.detect(new Blob([await bytes(`${i}.png`)]))));
    const threshold = findings.files[0].scores[1];
    findings.threshold = (
      await detector.detect(pixels[0], { scoreThreshold: threshold })
    ).scores.length;

    // One that takes long is cancelled in the middle; then the next one is answered.
    const large = new ImageData(4000, 4000);
    const slow = await Detector.load('/files/large.lbw');
    const stop = new AbortController();
    const started = performance.now();
    const cancelled = failure(slow.detect(large, { signal: stop.signal }));
    setTimeout(() => stop.abort(), 300);
    findings.cancelled = await cancelled;
    findings.cancelledAfter = performance.now() - started;
    findings.early = await failure(slow.detect(large, { signal: AbortSignal.abort() }));
    findings.afterwards = plain(await detector.detect(pixels[0]));
    const order = [];
    await Promise.all(pixels.map((image, i) => detector.detect(image).then(() => order.push(i))));
    findings.order = order;
    const ended = [failure(slow.detect(large)), failure(slow.detect(pixels[0]))];
    const decoding = failure(detector.detect(new Blob([await bytes('0.png')])));
    setTimeout(() => slow.close(), 300);
    detector.close();
    findings.ended = await Promise.all([...ended, decoding]);
    findings.errors = {
      closed: await failure(detector.detect(pixels[0])),
      damaged: await failure(Detector.load('/files/damaged.lbw')),
      short: await failure(Detector.load(new ArrayBuffer(3))),
      missing: await failure(Detector.load('/files/nowhere.lbw')),
      program: await failure(
        Detector.load('/files/unfit.lbw').then((unfit) => unfit.detect(pixels[0])),
      ),
      set: await failure(Detector.load('/files/model.lbw', { instructionSet: 'avx' })),
    };
    const again = await Detector.load('/files/model.lbw');
    Object.assign(findings.errors, {
      huge: await failure(
        again.detect({ data: new Uint8ClampedArray(4), width: 1 << 20, height: 1 << 20 }),
      ),
      wrong: await failure(again.detect({ data: new Uint8ClampedArray(5), width: 1, height: 1 })),
      noImage: await failure(again.detect(new Blob(['text']))),
    });
    findings.recovered = plain(await again.detect(pixels[0]));
    again.close();
    return findings;
  };
  return page.evaluate(inPage, { images });
}

const settled = (page) => page.waitForFunction(() => document.querySelector('#stop').disabled);
const text = (page, selector) => page.locator(selector).allInnerTexts();

async function usedAsPage(page) {
  const found = {};
  await page.waitForSelector('.panel .choose');
  found.start = await text(page, '.hint');
  await page.screenshot({ path: file('empty.png') });
  await chosen(page, page.locator('.panel .choose').first(), file('damaged.lbw'));
  await page.waitForSelector('#problem:not([hidden])');
  found.damaged = await text(page, '#problem');
  await chosen(page, page.locator('.panel .choose').first(), file('model.lbw'));
  await page.waitForSelector('.panel .close:not([hidden])');
  found.problemGone = await page.locator('#problem').isHidden();
  found.facts = (await text(page, '.facts'))[0];
  await chosen(page, page.locator('#pictures'), [file('0.png'), file('1.png')]);
  await page.waitForSelector('.found li');
  await settled(page);
  found.first = await text(page, '.found li');
  found.label = await page.locator('.panel canvas').first().getAttribute('aria-label');
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => document.querySelector('#which').textContent.startsWith('2'));
  await settled(page);
  found.second = await text(page, '.found li');
  await page.locator('#threshold').focus();
  await page.keyboard.press('End');
  found.strict = (await text(page, '.found li')).length;
  await page.keyboard.press('Home');
  found.loose = (await text(page, '.found li')).length;
  await dropped(page, ['second.lbw', '2.png']);
  await page.waitForFunction(
    () => document.querySelector('#status').textContent === 'Found in 2.png:',
  );
  await settled(page);
  found.panels = await text(page, 'h2');
  found.dropped = await page
    .locator('.panel')
    .evaluateAll((panels) => panels.map((panel) => panel.querySelectorAll('li').length));
  await page.screenshot({ path: file('two.png'), fullPage: true });
  await dropped(page, ['damaged.png']);
  await page.waitForSelector('#problem:not([hidden])');
  found.noPicture = await text(page, '#problem');
  return found;
}

async function usedWithFilms(page) {
  const found = {};
  await chosen(page, page.locator('.panel .choose').first(), file('model.lbw'));
  await page.waitForSelector('.panel .close:not([hidden])');
  await page.locator('#camera').click();
  await page.waitForFunction(() =>
    document.querySelector('.speed').textContent.includes('mean of'),
  );
  found.camera = (await text(page, '.speed'))[0];
  // A second model comes and goes while the camera runs; the first one goes on.
  await chosen(page, page.locator('.panel .choose').nth(1), file('second.lbw'));
  await page.waitForSelector('.panel:nth-of-type(2) .close:not([hidden])');
  await page.locator('#camera').click();
  await page.waitForFunction(() =>
    document.querySelectorAll('.speed')[1].textContent.includes('mean of'),
  );
  await page.locator('.panel .close').nth(1).click();
  const before = await page.locator('.speed').first().evaluate((speed) => {
    const seen = { number: 0 };
    new MutationObserver(() => ++seen.number).observe(speed, { childList: true });
    Object.assign(window, { seen });
    return document.querySelector('#problem').hidden;
  });
  await page.waitForFunction(() => window.seen.number > 2);
  found.goesOn = before && (await page.locator('#problem').isHidden());
  await page.locator('#stop').click();
  await settled(page);
  found.stopped = await text(page, '#status');
  // A video is made here, dropped, and played.
  await page.evaluate(async () => {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: 160, height: 120 });
    const pen = canvas.getContext('2d');
    const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: 'video/webm' });
    const pieces = [];
    recorder.addEventListener('dataavailable', ({ data }) => pieces.push(data));
    recorder.start();
    for (let i = 0; i < 20; ++i) {
      pen.fillStyle = `hsl(${18 * i} 80% 50%)`;
      pen.fillRect(0, 0, 160, 120);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await new Promise((resolve) => {
      recorder.addEventListener('stop', resolve);
      recorder.stop();
    });
    const transfer = new DataTransfer();
    transfer.items.add(new File(pieces, 'film.webm', { type: 'video/webm' }));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true }));
  });
  await page.waitForFunction(() =>
    document.querySelector('.speed').textContent.includes('160 × 120'),
  );
  found.video = (await text(page, '.speed'))[0];
  await page.keyboard.press('Escape');
  await settled(page);
  return found;
}

async function usedOffline(page) {
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.context().setOffline(true);
  await page.reload();
  await chosen(page, page.locator('.panel .choose').first(), file('model.lbw'));
  await page.waitForSelector('.panel .close:not([hidden])');
  await chosen(page, page.locator('#pictures'), file('0.png'));
  await page.waitForSelector('.found li');
  return { found: await text(page, '.found li') };
}

async function usedOnPhone(page) {
  await page.goto(`${address}?model=files/model.lbw`);
  await page.waitForSelector('.panel .close:not([hidden])');
  await chosen(page, page.locator('#pictures'), [file('0.png'), file('1.png')]);
  await page.waitForSelector('.found li');
  await page.screenshot({ path: file('phone.png'), fullPage: true });
  return page.evaluate(() => ({
    wide: document.documentElement.scrollWidth,
    width: innerWidth,
    nameless: [...document.querySelectorAll('button, input')].filter(
      (element) => !(element.textContent.trim() || element.ariaLabel || element.labels?.length),
    ).length,
  }));
}

const DESKTOP = { width: 1280, height: 800 };
for (const [name, use, viewport] of [
  ['package', usedAsPackage, DESKTOP],
  ['page', usedAsPage, DESKTOP],
  ['films', usedWithFilms, DESKTOP],
  ['offline', usedOffline, DESKTOP],
  ['phone', usedOnPhone, { width: 390, height: 844 }],
]) {
  const page = await opened(viewport);
  try {
    findings[name] = await use(page);
  } catch (error) {
    findings[name] = { failed: error.message };
    await page.screenshot({ path: file(`failed-${name}.png`) });
  }
  await page.context().close();
}
await browser.close();
await writeFile(file('findings.json'), JSON.stringify(findings));
