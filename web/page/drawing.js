/** Boxes, masks and names on a canvas. */

/** @typedef {import('../lbwdet/index.d.ts').Detections} Detections */

const COLOURS = [
  ...['#e6194b', '#3cb44b', '#4363d8', '#f58231', '#911eb4', '#008080', '#9a6324', '#808000'],
];

/** @param {number} label */
export function colourOf(label) {
  return COLOURS[label % COLOURS.length];
}

const LEAST_SIDE = 960; // of what is drawn: letters on fewer pixels cannot be read
const LINE = 2; // pixels of the screen
const LETTERS = 12;

/**
 * @param {HTMLCanvasElement} canvas gets the image's size, or several times it
 * @param {ImageData} image
 * @param {Detections} found
 * @param {number} threshold least score
 */
export function draw(canvas, image, found, threshold) {
  const longest = Math.max(image.width, image.height);
  const times = Math.max(1, Math.ceil(LEAST_SIDE / longest));
  canvas.width = image.width * times;
  canvas.height = image.height * times;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const plain = new OffscreenCanvas(image.width, image.height);
  plain.getContext('2d')?.putImageData(image, 0, 0);
  pen.scale(times, times);
  pen.drawImage(plain, 0, 0);
  // In pixels of the image, what so many are on the screen.
  const { width: wide, height: high } = canvas.getBoundingClientRect();
  const unit = 1 / Math.min(wide / image.width, high / image.height);
  pen.lineWidth = LINE * unit;
  const height = LETTERS * unit;
  pen.font = `600 ${height}px system-ui, sans-serif`;
  pen.textBaseline = 'middle';
  const shown = countOf(found, threshold);
  // Worst first, so that the best lie on top.
  for (let i = shown - 1; i >= 0; --i) {
    const colour = colourOf(found.labels[i]);
    if (found.masks) tint(pen, image, found.masks[i], colour);
    const [x1, y1, x2, y2] = inside(
      found.boxes.subarray(4 * i, 4 * i + 4),
      image,
      pen.lineWidth / 2,
    );
    pen.strokeStyle = colour;
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const text = `${found.names[i]} ${found.scores[i].toFixed(2)}`;
    const width = pen.measureText(text).width + 0.7 * height;
    const left = Math.max(0, Math.min(x1 - pen.lineWidth / 2, image.width - width));
    const top = Math.max(0, y1 - 1.4 * height);
    pen.fillStyle = colour;
    pen.fillRect(left, top, width, 1.4 * height);
    pen.fillStyle = '#ffffff';
    pen.fillText(text, left + 0.35 * height, top + 0.74 * height);
  }
}

/**
 * A box whose lines can be seen: networks see objects end beyond the image.
 * @param {Float32Array} box
 * @param {ImageData} image
 * @param {number} margin
 */
function inside(box, { width, height }, margin) {
  return Array.from(box, (side, i) =>
    Math.min(Math.max(side, margin), (i % 2 ? height : width) - margin),
  );
}

/**
 * How many are shown: they come best first.
 * @param {Detections} found
 * @param {number} threshold
 */
export function countOf(found, threshold) {
  const end = found.scores.findIndex((score) => score < threshold);
  return end < 0 ? found.scores.length : end;
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {ImageData} image
 * @param {Uint32Array} runs of pixels outside and inside, column after column
 * @param {string} colour
 */
function tint(pen, image, runs, colour) {
  pen.fillStyle = `${colour}80`;
  let at = 0;
  runs.forEach((run, index) => {
    const end = at + run;
    while (index % 2 === 1 && at < end) {
      const column = Math.floor(at / image.height);
      const next = Math.min(end, (column + 1) * image.height);
      pen.fillRect(column, at - column * image.height, 1, next - at);
      at = next;
    }
    at = end;
  });
}
