// The file that `grader marks` reads: marks that differ from those that stand.

// What Python's Unicode cannot encode is shown as a replacement character.
const wellFormed = (text) => text.replace(/\p{Cs}/gu, "\ufffd");

// Return the records of a draft, without what they replace: one, or one for each answer.
function recordsOf(draft) {
  const { submission, part, time } = draft;
  const empty = contentFrom(parts.get(part), {});
  const { items, points, adjustment, comment } = draft.done ? draft : empty;
  const record = {
    submission,
    part,
    marker: session.marker,
    time,
    items,
    points,
    adjustment,
    comment: wellFormed(comment.trim()),
    withdrawn: !draft.done,
    request: null,
    answer: "",
  };
  const answers = Object.entries(draft.answers).filter(([, one]) => one.done && one.text.trim());
  if (draft.done && answers.length) {
    return answers.map(([request, one]) => ({
      ...record,
      request,
      answer: wellFormed(one.text.trim()),
    }));
  }
  return differs(draft) ? [record] : [];
}

// Check whether a draft says something else than what stands.
function differs(draft) {
  const marks = visible(draft.submission, draft.part);
  if (!draft.done) return draft.withdrawn && draft.seen.length > 0;
  const stands = marks.length > 0 && !contradict(marks);
  return !stands || wasExported(draft) || !sameContent(draft, baseOf(draft.submission, draft.part));
}

// Return the drafts that a file would have and the last one had not.
function unsent() {
  return [...session.drafts.values()].filter(
    (draft) => !draft.sent.length && recordsOf(draft).length,
  );
}

const DEFAULTS = {
  items: "[]",
  points: "null",
  adjustment: "0.0",
  comment: '""',
  replaces: "[]",
  withdrawn: "false",
  request: "null",
  answer: '""',
};
const FIELDS = ["submission", "part", "marker", "time", ...Object.keys(DEFAULTS)];

// Return a record as pydantic writes it without defaults, which is what its id is the hash of.
function canonical(record) {
  const number = (value) => (Number.isInteger(value) ? `${value}.0` : String(value));
  const text = (value) => (typeof value === "number" ? number(value) : JSON.stringify(value));
  const written = FIELDS.map((name) => [name, text(record[name])]);
  const kept = written.filter(([name, value]) => value !== DEFAULTS[name]);
  return `{${kept.map(([name, value]) => `"${name}":${value}`).join(",")}}`;
}

async function idOf(record) {
  const bytes = new TextEncoder().encode(canonical(record));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest.slice(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Return all marks to export, and note their ids: what changes later replaces them.
async function exported() {
  const found = [];
  for (const draft of session.drafts.values()) {
    const replaces = [...draft.seen];
    const sent = [];
    for (const record of recordsOf(draft)) {
      const whole = { ...record, replaces: [...replaces] };
      const id = await idOf(whole);
      replaces.push(id);
      sent.push(id);
      found.push(whole);
    }
    draft.sent = sent;
    saveDraft(draft.submission, draft.part);
  }
  return found;
}

async function exportMarks() {
  if (!crypto.subtle) return say("Open the page as a file, or over https: this address is not safe.");
  const marks = await exported();
  const drafts = [...session.drafts.values()];
  const open = drafts.filter(({ submission, part }) => statusOf(submission, part) === "draft");
  const rest = open.length ? ` ${counted(open.length, "draft")} not done: left out.` : "";
  refresh();
  if (!marks.length) return say(`Nothing to export: no mark differs from what stands.${rest}`);
  const content = { format: data.format, assignment: data.assignment, marks };
  const marker = session.marker.replace(/[^\p{L}\p{N}]+/gu, "-");
  const name = `${data.assignment}-${marker}-marks.json`;
  const blob = new Blob([`${JSON.stringify(content, null, 1)}\n`], { type: "application/json" });
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return say(`Exported ${counted(marks.length, "mark")} to ${name}.${rest}`);
}

// Return the records of an exported file. Throws an Error that says what is wrong with it.
function readExport(text) {
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error("This is not a file that this page exported.");
  }
  if (content?.format !== data.format || !Array.isArray(content.marks)) {
    throw new Error("This is not a file that this page exported.");
  }
  if (content.assignment !== data.assignment) {
    throw new Error(`These are marks for ${content.assignment}, not for ${data.assignment}.`);
  }
  const other = content.marks.find((record) => record?.marker !== session.marker);
  if (other) throw new Error(`These are marks of ${other?.marker}: go on under that name.`);
  return content.marks;
}

// Restore the drafts of an exported file; a later change in this browser stays.
async function importMarks(text) {
  const groups = new Map();
  let left = 0;
  for (const record of readExport(text)) {
    const isKnown = parts.has(record.part) && submissions.has(record.submission);
    if (!isKnown || typeof record.time !== "string") left++;
    else {
      const key = keyOf(record.submission, record.part);
      groups.set(key, [...(groups.get(key) ?? []), record]);
    }
  }
  let taken = 0;
  for (const [key, records] of groups) taken += await restore(key, records);
  const rest = groups.size - taken;
  const kept = rest ? ` ${rest} already in the log, or older than yours: left as they are.` : "";
  const lost = left ? ` ${left} about other submissions or parts: left out.` : "";
  say(`Imported ${counted(taken, "mark")}.${kept}${lost}`);
}

// Restore one draft from its records. Returns whether it was restored.
async function restore(key, records) {
  const last = records.at(-1);
  const before = session.drafts.get(key);
  if (before && before.time >= last.time) return false;
  const sent = [];
  for (const record of records) sent.push(await idOf(record));
  const answers = records.filter((record) => record.request);
  const rows = answers.map((record) => [record.request, { text: record.answer, done: true }]);
  const flags = { done: !last.withdrawn, withdrawn: last.withdrawn };
  const draft = { ...last, ...flags, seen: records[0].replaces, sent };
  loadDraft(JSON.stringify({ ...draft, answers: Object.fromEntries(rows) }));
  const restored = session.drafts.get(key) !== before;
  if (restored) saveDraft(last.submission, last.part);
  return restored;
}
