// The left side: what a submission has for a part; and the dialog that shows its pictures large.

let evidenceShown = { index: -1, parts: null };

// Read the evidence of a submission from its block; the last one is kept.
function evidenceOf(submission) {
  const { index } = submissions.get(submission);
  if (evidenceShown.index !== index) {
    evidenceShown = { index, parts: JSON.parse($(`evidence-${index}`).textContent) };
  }
  return evidenceShown.parts;
}

// The answer's HTML comes from display/markdown.py, which lets no tag, link or picture through, and
// the page's policy runs no script but its own. Its headings are no headings of this page.
function answerElement(html) {
  const answer = element("div", { class: "answer" });
  answer.innerHTML = html;
  for (const heading of answer.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const paragraph = element("p", { class: "heading" });
    paragraph.append(...heading.childNodes);
    heading.replaceWith(paragraph);
  }
  for (const table of answer.querySelectorAll("table")) {
    const attributes = { class: "scroll", tabindex: 0, role: "group", "aria-label": "table" };
    const scroll = element("div", attributes);
    table.replaceWith(scroll);
    scroll.append(table);
  }
  return answer;
}

function pictureElement(picture, index, label) {
  const image = element("img", {
    src: picture.src,
    alt: label,
    width: picture.width,
    height: picture.height,
  });
  const zoom = () => openZoom(index);
  const button = element("button", { type: "button", class: "picture", onclick: zoom }, image);
  return element("figure", {}, button, element("figcaption", {}, label));
}

function sectionElements(section) {
  const found = [];
  if (section.problem) found.push(element("p", { class: "problem" }, section.problem));
  if (section.html) found.push(answerElement(section.html));
  if (section.printed) {
    found.push(element("p", { class: "label" }, "Printed"));
    found.push(element("pre", {}, section.printed));
  }
  const pictures = picturesOf(section);
  if (pictures.length) {
    const figures = pictures.map(([label, picture], i) => pictureElement(picture, i, label));
    found.push(element("div", { class: "pictures" }, ...figures));
  }
  return found.length ? found : [element("p", { class: "problem" }, "It is empty.")];
}

// The pictures of a section by label; the staff's reference comes first.
function picturesOf(section) {
  const own = section.pictures.map((picture) => [picture.name, picture]);
  const reference = references[section.reference ?? -1];
  return reference ? [["reference", reference], ...own] : own;
}

function showEvidence({ submission, part }) {
  const evidence = evidenceOf(submission);
  const section = evidence?.[part];
  let shown;
  if (section) shown = sectionElements(section);
  else {
    const text = evidence
      ? parts.get(part).manual
        ? "There is nothing in this submission for this part."
        : "The grader marked this part; its result page has the details."
      : "This submission was graded before evidence was kept: grade again.";
    shown = [element("p", { class: "note" }, text)];
  }
  $("seen").replaceChildren(...shown);
  $("evidence").scrollTop = 0;
  zoom.pictures = section ? picturesOf(section) : [];
}

const zoom = { pictures: [], index: 0, factor: 1 };

function openZoom(index) {
  if (!zoom.pictures.length) return say("There is no picture here.");
  Object.assign(zoom, { index, factor: 1 });
  $("zoom").showModal();
  return drawZoom();
}

function drawZoom() {
  const [label, picture] = zoom.pictures[zoom.index];
  const width = Math.min($("zoom-scroll").clientWidth, 2 * picture.width) * zoom.factor;
  const image = element("img", { src: picture.src, alt: label, style: `width: ${width}px` });
  $("zoom-scroll").replaceChildren(image);
  $("zoom-name").textContent = `${label} (${zoom.index + 1} of ${zoom.pictures.length})`;
}

function turnZoom(by) {
  zoom.index = (zoom.index + by + zoom.pictures.length) % zoom.pictures.length;
  drawZoom();
}

function scaleZoom(by) {
  zoom.factor = Math.min(Math.max(zoom.factor * by, 0.25), 8);
  drawZoom();
}
