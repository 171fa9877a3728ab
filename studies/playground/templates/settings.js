"use strict";

// The settings: read from the controls, and from the address after #, written to both. The controls
// say which values there are; the address is untrusted.

const LIMIT = 20000; // steps of a training
const TEXTS = ["model", "loss", "x", "y"]; // the other settings are numbers

// The values that a control may have, as texts.
function allowed(control) {
  if (control.type === "range") return control.dataset.values.split(" ");
  if (control.type === "checkbox") return ["0", "1"];
  if (control.type === "number") return wholeNumbers(Number(control.max));
  return [...control.options].map((option) => option.value);
}

function wholeNumbers(last) {
  return Array.from({ length: last + 1 }, (_, i) => String(i));
}

function readControl(control) {
  if (control.type === "range") return allowed(control)[control.value];
  if (control.type === "checkbox") return control.checked ? "1" : "0";
  return control.value;
}

function writeControl(control, text) {
  if (control.type === "range") control.value = allowed(control).indexOf(text);
  else if (control.type === "checkbox") control.checked = text === "1";
  else control.value = text;
}

// What the network and its training take, from the texts of the controls.
function asSettings(texts) {
  const entries = Object.entries(texts).map(([name, text]) =>
    [name, TEXTS.includes(name) ? text : Number(text)]);
  return Object.fromEntries(entries);
}

// What an address describes: the names of the lesson, whether two settings are shown, the steps to
// train, and the texts of settings a and b. A setting that is not mentioned has the lesson's value,
// or else its standard one. `values`: the allowed texts of each setting.
// Throws an Error that says what was found and what was expected.
function parseAddress(hash, values, standard) {
  const state = { lesson: LESSONS[0].name, steps: "0" };
  const given = [...new URLSearchParams(hash.replace(/^#/, ""))];
  const known = { lesson: LESSONS.map(({ name }) => name), two: ["0", "1"], steps: wholeNumbers(LIMIT) };
  for (const panel of ["a", "b"]) {
    for (const name of Object.keys(values)) known[`${panel}.${name}`] = values[name];
  }
  for (const [key, text] of given) {
    if (!Object.hasOwn(known, key)) throw new Error(`“${key}” is no setting`);
    if (!known[key].includes(text)) throw new Error(`${key} is “${text}”; ${expectation(known[key])}`);
    state[key] = text;
  }
  return complete(state, standard);
}

function expectation(values) {
  return values.length > 20 ? `expected ${values[0]} to ${values.at(-1)}` : `expected ${values.join(", ")}`;
}

function complete(state, standard) {
  const lesson = LESSONS.find(({ name }) => name === state.lesson);
  const settings = (panel) => {
    const texts = { ...standard, ...lesson[panel] };
    for (const name of Object.keys(standard)) texts[name] = state[`${panel}.${name}`] ?? texts[name];
    for (const axis of ["x", "y"]) {
      if (texts[axis] !== "auto" && Number(texts[axis]) > Number(texts.latents)) {
        throw new Error(`${panel}.${axis} is “${texts[axis]}”; expected a unit of ${texts.latents}`);
      }
    }
    if (texts.x !== "auto" && texts.x === texts.y) {
      throw new Error(`${panel}.x and ${panel}.y are both “${texts.x}”; expected two units`);
    }
    return texts;
  };
  const two = state.two === undefined ? lesson.b !== undefined : state.two === "1";
  return { lesson: lesson.name, two, steps: Number(state.steps), a: settings("a"), b: settings("b") };
}

// The reverse of `parseAddress`. Setting b is left out while it is not shown.
function formatAddress({ lesson, two, steps, a, b }) {
  const parts = { lesson, two: two ? "1" : "0" };
  if (steps > 0) parts.steps = String(steps);
  for (const [panel, texts] of Object.entries(two ? { a, b } : { a })) {
    for (const [name, text] of Object.entries(texts)) parts[`${panel}.${name}`] = text;
  }
  return `#${new URLSearchParams(parts)}`;
}
