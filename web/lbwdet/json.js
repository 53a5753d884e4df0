import { ArtifactError } from './errors.js';

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;

/**
 * Strict JSON: no repeated keys, which readers could take one way or the other.
 * @param {string} text
 * @param {string} place where it stands, for messages
 * @returns {any}
 */
export function parseJson(text, place) {
  try {
    const value = JSON.parse(text);
    refuseRepeatedKeys(text);
    return value;
  } catch (error) {
    throw new ArtifactError(`${place} is not JSON: ${/** @type {Error} */ (error).message}`);
  }
}

/** @param {string} text that is JSON */
function refuseRepeatedKeys(text) {
  /** @type {(Set<string> | null)[]} */
  const open = []; // keys so far of each object that is not closed; null of a list
  let last = '';
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(null);
    else if (token === '}' || token === ']') open.pop();
    else if (token === ':') {
      const keys = open[open.length - 1];
      const key = JSON.parse(last);
      if (keys?.has(key)) throw new Error(`an object repeats the key ${last.slice(0, 40)}`);
      keys?.add(key);
    }
    last = token;
  }
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
