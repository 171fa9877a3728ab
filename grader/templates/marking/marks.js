// Marks: those that stand in the run's log, and drafts, which this marker gives on this page.
//
// A draft has the content of a mark, and: `done`, it counts; `withdrawn`, what it replaces is taken
// back; `seen`, the ids of the marks that its marker saw, which it replaces; `sent`, its ids in the
// file that was exported last; `answers` to requests, by their id.

const parts = new Map(data.parts.map((part) => [part.name, part]));
const submissions = new Map(data.submissions.map((one, index) => [one.id, { ...one, index }]));
const known = new Set(data.known);
const session = { marker: "", names: false, drafts: new Map() };

const keyOf = (submission, part) => JSON.stringify([submission, part]);
const standing = new Map();
for (const mark of data.standing) {
  const key = keyOf(mark.submission, mark.part);
  standing.set(key, [...(standing.get(key) ?? []), mark]);
}

const now = () => `${new Date().toISOString().slice(0, 19)}Z`;
const contradict = (marks) => new Set(marks.map((mark) => mark.score)).size > 1;
const draftOf = (submission, part) => session.drafts.get(keyOf(submission, part));

// Two markers of one submission must not see each other's mark before both have given theirs.
function blind(submission, part) {
  const marks = standing.get(keyOf(submission, part)) ?? [];
  const markers = data.assigned[part]?.[submission] ?? [];
  const own = marks.some((mark) => mark.marker === session.marker);
  return markers.length > 1 && markers.includes(session.marker) && !own && !contradict(marks);
}

function visible(submission, part) {
  return blind(submission, part) ? [] : (standing.get(keyOf(submission, part)) ?? []);
}

// Take from a record what a mark for a part can contain.
function contentFrom(part, { items, points, adjustment, comment }) {
  const number = (value) => (Number.isFinite(value) ? value : null);
  const names = part.items.map((item) => item.name);
  const given = number(points);
  return {
    items: names.filter((name) => Array.isArray(items) && items.includes(name)),
    points: given === null ? null : Math.min(Math.max(given, 0), part.points),
    adjustment: number(adjustment) ?? 0,
    comment: typeof comment === "string" ? comment : "",
  };
}

// What stands, or an empty mark: nobody can say which of two contradicting marks is right.
function baseOf(submission, part) {
  const marks = visible(submission, part);
  return contentFrom(parts.get(part), marks.length && !contradict(marks) ? marks[0] : {});
}

function contentOf(submission, part) {
  return draftOf(submission, part) ?? baseOf(submission, part);
}

function sameContent(one, other) {
  return (
    JSON.stringify([...one.items].sort()) === JSON.stringify([...other.items].sort()) &&
    one.points === other.points &&
    one.adjustment === other.adjustment &&
    one.comment.trim() === other.comment.trim()
  );
}

// One of: unmarked, draft, marked, withdrawn, contradiction.
function statusOf(submission, part) {
  const draft = draftOf(submission, part);
  const marks = visible(submission, part);
  if (draft?.done) return "marked";
  const base = draft?.withdrawn ? contentFrom(parts.get(part), {}) : baseOf(submission, part);
  if (draft && !sameContent(draft, base)) return "draft";
  if (draft?.withdrawn) return "withdrawn";
  if (contradict(marks)) return "contradiction";
  return marks.length ? "marked" : "unmarked";
}

// Change a draft; from now on it replaces all that its marker has seen or exported.
function edit(submission, part, change) {
  const fresh = { done: false, withdrawn: false, seen: [], sent: [], answers: {} };
  const draft = draftOf(submission, part) ?? { ...fresh, ...baseOf(submission, part) };
  const shown = visible(submission, part).map((mark) => mark.id);
  const seen = [...new Set([...draft.seen, ...draft.sent, ...shown])];
  const changed = { ...draft, ...change, submission, part, seen, sent: [], time: now() };
  session.drafts.set(keyOf(submission, part), changed);
  saveDraft(submission, part);
}

// Check whether a file may have been exported that has this draft as it was before.
function wasExported(draft) {
  return [...draft.seen, ...draft.sent].some((id) => !known.has(id));
}

function withdraw(submission, part) {
  const empty = contentFrom(parts.get(part), {});
  edit(submission, part, { ...empty, done: false, withdrawn: true });
  const draft = draftOf(submission, part);
  if (!draft.seen.length && !Object.keys(draft.answers).length) dropDraft(submission, part);
}

// There must be a mark to go back to, and only one if an exported file has replaced it.
function canUndo(submission, part) {
  const draft = draftOf(submission, part);
  const marks = visible(submission, part);
  return Boolean(draft && marks.length && !(wasExported(draft) && contradict(marks)));
}

// Go back to what stands. A mark that was exported is replaced by it.
function undo(submission, part) {
  const draft = draftOf(submission, part);
  if (wasExported(draft) || Object.keys(draft.answers).length) {
    const done = !contradict(visible(submission, part));
    edit(submission, part, { ...baseOf(submission, part), done, withdrawn: false });
  } else {
    dropDraft(submission, part);
  }
}

function dropDraft(submission, part) {
  session.drafts.delete(keyOf(submission, part));
  saveDraft(submission, part);
}
