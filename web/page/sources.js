/** Pixels from files, videos and the camera. */

const canvas = document.createElement('canvas');
const pen = /** @type {CanvasRenderingContext2D} */ (
  canvas.getContext('2d', { willReadFrequently: true })
);
const MAX_SIDE = 8192; // of a picture to look at; the engine takes more

/**
 * @param {CanvasImageSource} source
 * @param {number} width
 * @param {number} height
 * @returns {ImageData}
 */
function pixels(source, width, height) {
  canvas.width = width;
  canvas.height = height;
  pen.drawImage(source, 0, 0);
  return pen.getImageData(0, 0, width, height);
}

/**
 * @param {Blob & {name?: string}} file
 * @returns {Promise<ImageData>}
 */
export async function pictureOf(file) {
  const name = file.name ?? 'the picture';
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none' });
  } catch {
    throw new Error(`${name} is no picture that this browser reads`);
  }
  const { width, height } = bitmap;
  if (Math.max(width, height) > MAX_SIDE)
    throw new Error(
      `${name} has ${width} × ${height} pixels; at most ${MAX_SIDE} on a side fit here`,
    );
  const image = pixels(bitmap, width, height);
  bitmap.close();
  return image;
}

/** Frames of a video that plays, or of the camera; the newest when one is asked for. */
export class Film {
  #video = document.createElement('video');
  /** @type {MediaStream | null} */
  #stream = null;
  #address = '';

  /** @param {File} file */
  static async of(file) {
    const film = new Film();
    film.#address = URL.createObjectURL(file);
    film.#video.src = film.#address;
    film.#video.loop = true;
    return film.#play(`${file.name} is no video that this browser plays`);
  }

  static async camera() {
    const film = new Film();
    try {
      film.#stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: 'environment', width: { ideal: 1280 } },
      });
    } catch (error) {
      const { message } = /** @type {Error} */ (error);
      throw new Error(`the camera cannot be used: ${message}; allow it for this page`);
    }
    film.#video.srcObject = film.#stream;
    return film.#play('the camera gives no picture');
  }

  /** @param {string} problem */
  async #play(problem) {
    this.#video.muted = true;
    this.#video.playsInline = true;
    try {
      await this.#video.play();
    } catch {
      this.close();
      throw new Error(problem);
    }
    return this;
  }

  /** @returns {Promise<ImageData>} */
  async frame() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    // A frame that is drawn is a frame that the screen had time for.
    await new Promise((resolve) => requestAnimationFrame(resolve));
    return pixels(this.#video, width, height);
  }

  close() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#video.pause();
    this.#video.removeAttribute('src');
    if (this.#address) URL.revokeObjectURL(this.#address);
  }
}
