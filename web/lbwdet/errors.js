/** What went wrong, in one sentence for the person at the screen. Each error has its class's name. */
export class LBWError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** A file is damaged, hostile, of another version, or its program makes no sense. */
export class ArtifactError extends LBWError {}

/** An image cannot be used. */
export class ImageError extends LBWError {}

/** The engine is not there, or cannot do what was asked. */
export class EngineError extends LBWError {}

const LONGEST = 80;

/**
 * A value for a message, cut where it is long.
 * @param {unknown} value
 */
export function shown(value) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 3)}...` : text;
}

/**
 * @param {boolean} condition
 * @param {() => string} message
 */
export function expect(condition, message) {
  if (!condition) throw new ArtifactError(message());
}
