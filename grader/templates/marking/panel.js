// The right side: what stands, the request, the rubric, points, comment and answer of one place.

// Keys of the rubric's items: digits, then the letters that no command has.
const ITEM_KEYS = [..."123456789bfgiopstvxy"];
const STATUS = {
  unmarked: "not marked",
  draft: "draft: not done",
  marked: "marked",
  withdrawn: "withdrawn",
  contradiction: "contradiction",
};

const pointsText = (points) => (points === null ? "no change" : `${points}`);
const partOf = () => parts.get(place().part);
const content = () => contentOf(place().submission, place().part);

function change(what) {
  edit(place().submission, place().part, what);
  refresh();
}

// Put an item into the mark or take it out; it takes the place of its group's other items.
function toggle(item) {
  const { items } = content();
  const group = partOf().items.filter((one) => one.group && one.group === item.group);
  const others = items.filter((name) => name !== item.name);
  const apart = others.filter((name) => !group.some((one) => one.name === name));
  const has = items.includes(item.name);
  change({ items: has ? others : [...apart, item.name], points: null });
  const points = pointsText(score(partOf(), content()));
  say(`${has ? "Without" : "With"} ${item.title}: ${points} points.`);
}

function unsetGroup(items) {
  const names = items.map((item) => item.name);
  change({ items: content().items.filter((name) => !names.includes(name)), points: null });
}

function itemElement(item, index) {
  const key = ITEM_KEYS[index];
  const input = element("input", {
    type: item.group ? "radio" : "checkbox",
    name: item.group ? `group-${item.group}` : "items",
    value: item.name,
    "aria-keyshortcuts": key ?? null,
    onchange: () => toggle(item),
  });
  const text = element("span", { class: "title" }, item.title);
  if (item.comment) text.append(element("small", {}, item.comment));
  const hint = element("kbd", { "aria-hidden": "true" }, key ?? "");
  const points = element("span", { class: "points" }, signed(item.points));
  return element("label", { class: "item" }, hint, input, text, points);
}

function groupElement(name, items, all) {
  const none = element("input", {
    type: "radio",
    name: `group-${name}`,
    value: "",
    onchange: () => unsetGroup(items),
  });
  const title = element("span", { class: "title" }, "none");
  const unset = element("label", { class: "item" }, element("kbd"), none, title);
  return element(
    "fieldset",
    {},
    element("legend", {}, `${name}: choose one`),
    ...items.map((item) => itemElement(item, all.indexOf(item))),
    unset,
  );
}

// The items in their order; a group stands where its first item would.
function rubricElements(part) {
  const found = [];
  const groups = new Set();
  part.items.forEach((item, index) => {
    if (!item.group) found.push(itemElement(item, index));
    else if (!groups.has(item.group)) {
      const items = part.items.filter((one) => one.group === item.group);
      found.push(groupElement(item.group, items, part.items));
      groups.add(item.group);
    }
  });
  return found;
}

// A field for a number; `take` gets it once it is one of those that `isAllowed`.
function numberField(id, label, value, isAllowed, take) {
  const problem = element("span", { class: "problem", id: `${id}-problem` });
  const input = element("input", {
    type: "text",
    inputmode: "decimal",
    id,
    autocomplete: "off",
    "aria-describedby": problem.id,
    value,
  });
  input.addEventListener("input", () => {
    const points = readPoints(input.value);
    const wrong = Number.isNaN(points) || (points !== null && !isAllowed(points));
    input.setAttribute("aria-invalid", String(wrong));
    problem.textContent = wrong ? "Type a number of points, with two decimals at most." : "";
    if (wrong && points) problem.textContent = `Type 0 to ${partOf().points}.`;
    if (!wrong) take(points);
  });
  return element("p", { class: "field" }, element("label", { for: id }, label), input, problem);
}

function pointsField(part) {
  const range = `0 to ${part.points}`;
  const label = part.manual ? `Points, ${range}` : `New points, ${range}; empty: the grader's stay`;
  const allowed = (points) => points >= 0 && points <= part.points;
  const points = content().points;
  return numberField("points", label, points ?? "", allowed, (given) => change({ points: given }));
}

function adjustmentField() {
  const value = content().adjustment || "";
  const take = (points) => change({ adjustment: points ?? 0, points: null });
  return numberField("adjustment", "Adjustment, such as −0.5", value, () => true, take);
}

function textField(id, label, value, take) {
  const field = element("textarea", { id, rows: 3, maxlength: data.longest });
  field.value = value;
  field.addEventListener("input", () => take(field.value));
  return element("p", { class: "field" }, element("label", { for: id }, label), field);
}

// A mark that stands, with who gave it.
function markElement(mark, isChoice) {
  const part = parts.get(mark.part);
  const day = mark.time ? `, ${mark.time.slice(0, 10)}` : "";
  const head = `${pointsText(mark.score)} of ${part.points} by ${mark.marker || "nobody"}${day}`;
  const lines = [element("strong", {}, head)];
  const titles = part.items.filter((item) => mark.items.includes(item.name)).map((i) => i.title);
  if (titles.length) lines.push(element("span", {}, titles.join("; ")));
  if (mark.adjustment) lines.push(element("span", {}, `adjusted by ${signed(mark.adjustment)}`));
  if (mark.comment) lines.push(element("q", {}, mark.comment));
  if (isChoice) {
    const take = () => {
      change(contentFrom(part, mark));
      showPanel();
      say(`Copied the mark of ${mark.marker || "nobody"}. Enter settles it.`);
    };
    lines.push(element("button", { type: "button", onclick: take }, "Copy this mark"));
  }
  return element("li", { class: "mark" }, ...lines);
}

function standingElements({ submission, part }) {
  const marks = visible(submission, part);
  if (blind(submission, part) && standing.has(keyOf(submission, part))) {
    const text = "Two people mark this one. You see the other mark once yours is in the log.";
    return [element("p", { class: "note" }, text)];
  }
  if (!marks.length) return [];
  const isChoice = contradict(marks);
  const title = isChoice ? "These marks contradict each other; yours replaces them" : "Stands";
  const rows = marks.map((mark) => markElement(mark, isChoice));
  return [element("p", { class: "label" }, title), element("ul", { class: "marks" }, ...rows)];
}

function requestElements({ request }) {
  if (!request) return [];
  const who = session.names ? ` of ${request.student}` : "";
  const when = request.date ? `, ${request.date}` : "";
  const found = [
    element("p", { class: "label" }, `Request${who}${when}`),
    element("blockquote", { class: "request" }, request.text),
  ];
  if (request.grader) {
    const { points, details } = request.grader;
    const text = `The grader gave ${points} of ${partOf().points}. ${details}`;
    found.push(element("p", { class: "note" }, text.trim()));
  }
  return found;
}

function answerField({ submission, part, request }) {
  const answers = () => draftOf(submission, part)?.answers ?? {};
  const take = (text) => change({ answers: { ...answers(), [request.id]: { text, done: false } } });
  const value = answers()[request.id]?.text ?? "";
  return textField("answer", "Answer to the student (required)", value, take);
}

function showPanel() {
  const here = place();
  const part = partOf();
  const attributes = { type: "button", onclick: openComments };
  const key = element("kbd", {}, "r");
  const reuse = element("button", attributes, "Comments given before ", key);
  const form = [
    ...requestElements(here),
    ...standingElements(here),
    ...rubricElements(part),
    ...(part.items.length ? [adjustmentField()] : [pointsField(part)]),
    textField("comment", "Comment", content().comment, (comment) => change({ comment })),
    reuse,
    ...(here.request ? [answerField(here)] : []),
  ];
  $("form").replaceChildren(...form);
  refreshPanel();
}

// Say how the points come about, where that is not plain.
function pointsNote(part, mark) {
  if (!part.manual) return "";
  if (mark.points !== null && part.items.length) {
    return "Given outright, without the rubric. Choosing an item replaces it.";
  }
  if (mark.points !== null) return "";
  const raw = uncut(part, mark);
  if (raw > part.points) {
    return `The items give ${raw}; this part gives ${part.points} at most.`;
  }
  if (raw < 0) return "The items give less than 0; a mark is never below 0.";
  return part.start ? `Counts from ${part.start}.` : "";
}

// Show the points and what is chosen, without touching the fields.
function refreshPanel() {
  const { submission, part: name, request } = place();
  const part = parts.get(name);
  const mark = content();
  for (const input of $("form").querySelectorAll("input[type=checkbox], input[type=radio]")) {
    const group = part.items.filter((item) => `group-${item.group}` === input.name);
    const isNone = input.value === "" && !group.some((item) => mark.items.includes(item.name));
    input.checked = mark.items.includes(input.value) || isNone;
  }
  const status = statusOf(submission, name);
  $("total").textContent = totalText(part, mark, status);
  $("total").classList.toggle("pending", status !== "marked");
  $("possible").textContent = `of ${part.points}`;
  $("points-note").textContent = pointsNote(part, mark);
  const isAnswered = queue().finished(place());
  $("status").textContent = request ? (isAnswered ? "answered" : "not answered") : STATUS[status];
  $("status").className = request && !isAnswered ? "status" : `status ${status}`;
  $("withdraw").hidden = Boolean(request) || !["marked", "draft"].includes(status);
  $("undo").hidden = !canUndo(submission, name);
}

// The points so far; a dash, and not 0, for what is not marked.
function totalText(part, mark, status) {
  const untyped = part.manual && !part.items.length && mark.points === null;
  if (untyped || (part.manual && !["marked", "draft"].includes(status))) return "–";
  return pointsText(score(part, mark) ?? place().request?.grader?.points ?? null);
}
