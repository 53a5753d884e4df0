/**
 * Records (operations, coders, quantizations) from JSON, by what their Python files declare of
 * their fields; as lbwdet/deploy/runtime/fields.py and declaration.py do it.
 */
import declarations from '../built/declarations.js';
import { ArtifactError, expect, shown } from './errors.js';
import { isObject } from './json.js';

/**
 * @typedef {object} Description of a type; of a field, with what its annotations say
 * @property {string} is
 * @property {any} [of]
 * @property {string} [name]
 * @property {[number, number]} [range]
 * @property {[number, number]} [length]
 * @property {string[]} [reads]
 * @property {string[]} [writes]
 * @property {string} [like]
 * @property {boolean} [steps]
 * @property {boolean} [layer]
 * @property {any} [default]
 */

/** @typedef {{type: string} & Record<string, any>} Fields of a record, and its class's name */

/** @type {Record<string, Record<string, Description>>} */
export const records = /** @type {any} */ (declarations.records);

const MAX_INTEGER = 2 ** 31 - 1;
const WORDS = /** @type {Record<string, string>} */ ({
  bool: 'true or false',
  int: 'an integer',
  float: 'a finite number',
  text: 'a text',
});

/**
 * @param {any} value
 * @param {string} place
 * @returns {Fields}
 */
export function operationFromJson(value, place) {
  return oneOf(declarations.operations, value, place);
}

/**
 * @param {string} name of the record's class
 * @param {any} value
 * @param {string} place
 * @returns {Fields}
 */
export function recordFromJson(name, value, place) {
  expect(isObject(value), () => `${place} is ${shown(value)} instead of an object`);
  const fields = records[name];
  const missing = Object.keys(fields).filter(
    (field) => !Object.hasOwn(value, field) && !('default' in fields[field]),
  );
  const unknown = Object.keys(value).filter((field) => !Object.hasOwn(fields, field));
  expect(
    missing.length + unknown.length === 0,
    () =>
      `${place}: the fields are not those of ${name}: missing ${shown(missing)}, ` +
      `unknown ${shown(unknown)}`,
  );
  /** @type {Fields} */
  const record = { type: name };
  for (const [field, description] of Object.entries(fields))
    record[field] = Object.hasOwn(value, field)
      ? fromJson(description, value[field], `${place}.${field}`)
      : description.default;
  return record;
}

/**
 * @param {string[]} names of records' classes
 * @param {any} value
 * @param {string} place
 */
function oneOf(names, value, place) {
  expect(isObject(value), () => `${place} is ${shown(value)} instead of an object`);
  const { type, ...fields } = value;
  expect(
    names.includes(type),
    () => `${place}: type is ${shown(type)} instead of ${names.join(', ')}`,
  );
  return recordFromJson(type, fields, `${place} (${type})`);
}

/**
 * @param {Description} description
 * @param {any} value
 * @param {string} place
 * @returns {any}
 */
function fromJson(description, value, place) {
  const { is, of } = description;
  const refuse = (/** @type {string} */ allowed) => {
    throw new ArtifactError(`${place} is ${shown(value)} instead of ${allowed}`);
  };
  switch (is) {
    case 'optional':
      return value === null ? null : fromJson(of, value, place);
    case 'record':
      return recordFromJson(/** @type {string} */ (description.name), value, place);
    case 'union':
      return oneOf(of, value, place);
    case 'list':
    case 'tuple':
      if (!Array.isArray(value)) refuse('a list');
      if (is === 'tuple' && value.length !== of.length) refuse(`a list of ${of.length}`);
      return value.map((/** @type {any} */ item, /** @type {number} */ index) =>
        fromJson(is === 'tuple' ? of[index] : of, item, `${place}[${index}]`),
      );
    case 'choice':
      if (!of.includes(value)) refuse(of.map(shown).join(' or '));
      return value;
    case 'int':
      if (!Number.isInteger(value)) refuse(WORDS.int);
      if (Math.abs(value) > MAX_INTEGER) refuse(`an integer of at most ${MAX_INTEGER}`);
      return value;
    case 'float':
      if (!Number.isFinite(value)) refuse(WORDS.float);
      return value;
    default:
      if (typeof value !== (is === 'bool' ? 'boolean' : 'string')) refuse(WORDS[is]);
      return value;
  }
}

/**
 * Holds every number of a record, and every list's length, against its declaration.
 * @param {Fields} record
 * @param {string} place
 */
export function checkRanges(record, place) {
  for (const [field, { range, length }] of Object.entries(records[record.type])) {
    const value = record[field];
    const name = `${place}: ${field}`;
    for (const part of [value].flat(Infinity)) {
      if (isObject(part)) checkRanges(/** @type {Fields} */ (part), name);
      else if (range && part !== null)
        expect(
          range[0] <= part && part <= range[1],
          () => `${name} is ${part}; allowed is ${range[0]} to ${range[1]}`,
        );
    }
    if (length)
      expect(
        length[0] <= value.length && value.length <= length[1],
        () => `${name} has ${value.length} entries; allowed are ${length[0]} to ${length[1]}`,
      );
  }
}

/**
 * The names that a record's fields hold, of values or of layers.
 * @param {Fields} record
 * @param {'reads' | 'writes' | 'layer'} role
 * @returns {{name: string, field: string, description: Description}[]}
 */
export function namesOf(record, role) {
  return Object.entries(records[record.type]).flatMap(([field, description]) => {
    if (!description[role]) return [];
    return [record[field]]
      .flat()
      .filter((name) => name !== null)
      .map((name) => ({ name, field, description }));
  });
}
