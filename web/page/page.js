/** The page: what it is given goes to one model or two, side by side. */
import { one, Panel } from './panel.js';
import { Film, pictureOf } from './sources.js';

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const panels = [
  new Panel('No model yet', 'Choose a model.lbw, or drop it here.'),
  new Panel('A second one', 'To look at the difference: choose another model.lbw.'),
];
/** @type {{files: File[], index: number}} */
const pictures = { files: [], index: 0 };
/** @type {ImageData | null} */
let image = null; // that is looked at
/** @type {AbortController | null} */
let work = null; // what Stop ends

/** Runs what a person asked for: one thing at a time, a sentence where it fails. */
async function attempt(/** @type {(signal: AbortSignal) => Promise<void>} */ action) {
  work?.abort();
  const own = (work = new AbortController());
  element('problem').hidden = true;
  element('stop').disabled = false;
  try {
    await action(own.signal);
  } catch (error) {
    if (!own.signal.aborted) complain(/** @type {Error} */ (error).message);
  } finally {
    if (work === own) {
      work = null;
      element('stop').disabled = true;
    }
  }
}

/** @param {string} message */
function complain(message) {
  element('problem').textContent = message[0].toUpperCase() + message.slice(1);
  element('problem').hidden = false;
  say('');
}

/** @param {string} message */
function say(message) {
  element('status').textContent = message;
}

const threshold = () => Number(element('threshold').value);

/** @param {AbortSignal} signal */
async function look(signal) {
  if (image === null) return;
  // One after the other: side by side they would take each other's time.
  for (const panel of panels) await panel.detect(image, threshold(), signal);
}

/** @param {AbortSignal} signal */
async function lookAtPicture(signal) {
  const file = pictures.files[pictures.index];
  const many = pictures.files.length > 1;
  element('turn').hidden = !many;
  element('which').textContent = `${pictures.index + 1} of ${pictures.files.length}: ${file.name}`;
  say(`Looking at ${file.name}`);
  image = await pictureOf(file);
  await look(signal);
  say(panels.some((panel) => panel.detector) ? `Found in ${file.name}:` : 'Choose a model, too.');
}

/** @param {AbortSignal} signal */
async function lookAtFilm(signal, /** @type {Promise<Film>} */ opened) {
  element('turn').hidden = true;
  const film = await opened;
  try {
    say('Playing; Stop ends it.');
    while (!signal.aborted) {
      image = await film.frame();
      await look(signal);
    }
  } finally {
    film.close();
  }
}

/** @param {number} by */
function turn(by) {
  const { files } = pictures;
  if (files.length < 2) return;
  pictures.index = (pictures.index + by + files.length) % files.length;
  attempt(lookAtPicture);
}

/**
 * @param {Panel} panel
 * @param {string | Blob} model
 * @param {string} name
 */
function load(panel, model, name) {
  return attempt(async (signal) => {
    say(`Loading ${name}`);
    await panel.load(model, name, signal).catch((error) => {
      throw signal.aborted ? error : new Error(`${name}: ${error.message}`);
    });
    arrange();
    say(image ? '' : 'Ready: choose or drop pictures.');
    await look(signal);
  });
}

function arrange() {
  const [some, both] = [panels.some(({ detector }) => detector), panels[1].detector !== null];
  element('panels').className = both ? 'two' : some ? 'one' : '';
  panels[1].element.hidden = !some;
}

/** What was chosen or dropped: models to panels, the rest to be looked at. */
async function take(/** @type {File[]} */ files, panel = nextPanel()) {
  const models = files.filter((file) => file.name.toLowerCase().endsWith('.lbw'));
  for (const model of models) {
    await load(panel, model, model.name);
    panel = nextPanel();
  }
  const film = files.find((file) => file.type.startsWith('video/'));
  const images = files.filter((file) => !models.includes(file) && !file.type.startsWith('video/'));
  if (film) await attempt((signal) => lookAtFilm(signal, Film.of(film)));
  else if (images.length > 0) {
    Object.assign(pictures, { files: images, index: 0 });
    await attempt(lookAtPicture);
  }
}

function nextPanel() {
  return panels.find((panel) => panel.detector === null) ?? panels[1];
}

/**
 * @param {string} accept
 * @param {(files: File[]) => void} use
 */
function choose(accept, use) {
  const input = document.createElement('input');
  Object.assign(input, { type: 'file', accept, multiple: accept.startsWith('image') });
  input.addEventListener('change', () => use([...(input.files ?? [])]));
  input.click();
}

for (const panel of panels) {
  element('panels').append(panel.element);
  one(panel.element, '.choose').addEventListener('click', () =>
    choose('.lbw', (files) => files.length > 0 && load(panel, files[0], files[0].name)),
  );
  one(panel.element, '.close').addEventListener('click', () => {
    panel.close();
    arrange();
  });
}
arrange();

element('pictures').addEventListener('click', () => choose('image/*', take));
element('video').addEventListener('click', () => choose('video/*', take));
element('camera').addEventListener('click', () =>
  attempt((signal) => lookAtFilm(signal, Film.camera())),
);
element('stop').addEventListener('click', () => {
  work?.abort();
  say('Stopped.');
});
element('previous').addEventListener('click', () => turn(-1));
element('next').addEventListener('click', () => turn(1));
element('threshold').addEventListener('input', () => {
  element('threshold-shown').textContent = threshold().toFixed(2);
  panels.forEach((panel) => panel.show(threshold()));
});
document.addEventListener('keydown', (event) => {
  if (event.target instanceof HTMLInputElement || event.ctrlKey || event.altKey || event.metaKey)
    return;
  if (event.key === 'ArrowLeft') turn(-1);
  if (event.key === 'ArrowRight') turn(1);
  if (event.key === 'Escape') work?.abort();
});

let inside = 0; // elements that what is dragged is over
document.addEventListener('dragenter', () => {
  element('drop').hidden = ++inside === 0;
});
document.addEventListener('dragleave', () => {
  element('drop').hidden = --inside === 0;
});
document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', (event) => {
  event.preventDefault();
  inside = 0;
  element('drop').hidden = true;
  take([...(event.dataTransfer?.files ?? [])]);
});

// ?model=nano.lbw&second=other.lbw; else a model.lbw beside this page, if there is one.
const wanted = new URLSearchParams(location.search);
const first = wanted.get('model');
if (first) await load(panels[0], first, baseName(first));
else {
  const beside = await fetch('model.lbw').catch(() => null);
  if (beside?.ok) await load(panels[0], await beside.blob(), 'model.lbw');
}
const second = wanted.get('second');
if (second) await load(panels[1], second, baseName(second));

/** @param {string} address */
function baseName(address) {
  return address.split('/').pop() ?? address;
}

// Works without a network from the second visit on; where that is not allowed, only with one.
navigator.serviceWorker?.register('offline.js').catch(() => {});
