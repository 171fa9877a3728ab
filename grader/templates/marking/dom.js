"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const references = JSON.parse(document.getElementById("references").textContent);

const $ = (id) => document.getElementById(id);

// Make an element. Children that are strings become text: nothing is ever read as HTML.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Tell everybody what happened: the line at the bottom, which screen readers read aloud.
function say(text) {
  $("said").textContent = text;
}

const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
