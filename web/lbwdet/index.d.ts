/** Low-bit detectors in a web page. */

/** The message is one sentence for the person at the screen. */
export class LBWError extends Error {}
/** The model's file is damaged, of another version, or its program makes no sense. */
export class ArtifactError extends LBWError {}
/** The image cannot be used: not an image, or too large. */
export class ImageError extends LBWError {}
/** The engine is not there, or an image needs more memory or work than is allowed. */
export class EngineError extends LBWError {}

/** Red, green, blue, opacity of each pixel, row after row; an ImageData is one. */
export interface Pixels {
  readonly data: Uint8ClampedArray | Uint8Array;
  readonly width: number;
  readonly height: number;
}

export interface DetectorOptions {
  /** Ends the loading; the promise is rejected with its reason. */
  signal?: AbortSignal;
  /** Default: the fastest that the browser has. The boxes do not depend on it. */
  instructionSet?: 'simd128' | 'portable';
}

export interface DetectOptions {
  /** Ends this image, wherever it is; the promise is rejected with its reason. */
  signal?: AbortSignal;
  /** Detections with a lower score are left out. Default: 0, what the model gives. */
  scoreThreshold?: number;
}

/** What was found in one image, best first. */
export interface Detections {
  /** x1, y1, x2, y2 of each in pixels of the image: four numbers per detection. */
  boxes: Float32Array;
  /** 0 to 1. */
  scores: Float32Array;
  /** Indices of the detector's classes. */
  labels: Int32Array;
  names: string[];
  /**
   * Of each detection the lengths of runs of pixels outside and inside of it in turn, column after
   * column of the image; null of a detector without masks.
   */
  masks: Uint32Array[] | null;
  /** That the engine took, without the way to its thread and back. */
  milliseconds: number;
}

export class Detector {
  private constructor();
  /** Reads a model.lbw, by its address or from memory, and starts the engine's thread. */
  static load(
    model: string | URL | Blob | ArrayBuffer,
    options?: DetectorOptions,
  ): Promise<Detector>;
  /** Names, in the order of the labels. */
  readonly classes: readonly string[];
  readonly instructionSet: string;
  /** Size of the model's file. */
  readonly bytes: number;
  /** Images wait for one another. */
  detect(image: Pixels | ImageBitmapSource, options?: DetectOptions): Promise<Detections>;
  /** Ends the thread; images that have no answer yet are rejected. */
  close(): void;
}
