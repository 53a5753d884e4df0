/** One model, and what it sees. */
import { Detector } from '../lbwdet/detector.js';
import { colourOf, countOf, draw } from './drawing.js';

const MOST_LISTED = 30;

/**
 * @param {ParentNode} parent
 * @param {string} selector
 * @returns {any}
 */
export function one(parent, selector) {
  return parent.querySelector(selector);
}

export class Panel {
  /** @type {Detector | null} */
  detector = null;
  /** @type {ImageData | null} */
  #image = null;
  /** @type {import('../lbwdet/index.d.ts').Detections | null} */
  #found = null;
  /** @type {number[]} */
  #times = []; // of the last images

  /**
   * @param {string} title while there is no model
   * @param {string} hint
   */
  constructor(title, hint) {
    const template = /** @type {HTMLTemplateElement} */ (document.querySelector('#panel'));
    this.element = /** @type {HTMLElement} */ (
      /** @type {DocumentFragment} */ (template.content.cloneNode(true)).firstElementChild
    );
    this.title = title;
    this.canvas = /** @type {HTMLCanvasElement} */ (one(this.element, 'canvas'));
    one(this.element, '.hint').textContent = hint;
    this.close();
  }

  /**
   * @param {string | Blob} model
   * @param {string} name
   * @param {AbortSignal} [signal]
   */
  async load(model, name, signal) {
    const start = performance.now();
    const detector = await Detector.load(model, { signal });
    const took = performance.now() - start;
    this.close();
    this.detector = detector;
    one(this.element, 'h2').textContent = name;
    one(this.element, '.close').hidden = false;
    one(this.element, '.facts').textContent =
      `${amount(detector.bytes)}, ${detector.classes.length} classes, ` +
      `${detector.instructionSet}, ready after ${took.toFixed(0)} ms`;
  }

  /**
   * @param {ImageData} image
   * @param {number} threshold
   * @param {AbortSignal} [signal]
   */
  async detect(image, threshold, signal) {
    const detector = this.detector;
    if (detector === null) return;
    const found = await detector.detect(image, { signal }).catch((error) => {
      if (this.detector === detector) throw error;
    });
    if (!found || this.detector !== detector) return; // closed meanwhile
    this.#image = image;
    this.#found = found;
    this.#times = [...this.#times, found.milliseconds].slice(-10);
    this.show(threshold);
  }

  /** @param {number} threshold least score */
  show(threshold) {
    if (this.#found === null || this.#image === null) return;
    const [image, found] = [this.#image, this.#found];
    this.canvas.hidden = false;
    one(this.element, '.hint').hidden = true;
    draw(this.canvas, image, found, threshold);
    const count = countOf(found, threshold);
    const names = found.names.slice(0, count);
    this.canvas.ariaLabel = count ? `The image with boxes: ${names.join(', ')}` : 'The image';
    const mean = this.#times.reduce((a, b) => a + b) / this.#times.length;
    one(this.element, '.speed').textContent =
      `${found.milliseconds.toFixed(0)} ms for ${image.width} × ${image.height}` +
      (this.#times.length > 1
        ? `, ${mean.toFixed(0)} ms in the mean of ${this.#times.length}`
        : '') +
      ` · ${count || 'no'} ${count === 1 ? 'object' : 'objects'}`;
    const items = names.slice(0, MOST_LISTED).map((name, i) => {
      const item = document.createElement('li');
      item.textContent = `${name} ${found.scores[i].toFixed(2)}`;
      item.style.setProperty('--colour', colourOf(found.labels[i]));
      return item;
    });
    one(this.element, '.found').replaceChildren(...items);
  }

  close() {
    this.detector?.close();
    this.detector = null;
    this.#image = this.#found = null;
    this.#times = [];
    this.canvas.hidden = true;
    one(this.element, 'h2').textContent = this.title;
    one(this.element, '.close').hidden = true;
    one(this.element, '.hint').hidden = false;
    for (const part of ['.facts', '.speed', '.found']) one(this.element, part).replaceChildren();
  }
}

/** @param {number} bytes */
function amount(bytes) {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
