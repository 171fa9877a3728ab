// Progress in this browser: an entry for each draft, so that two tabs do not overwrite each other.

const PREFIX = `vae-grader marks ${data.assignment} ${data.key} `;
const SETTINGS = `${PREFIX}settings`;
const settings = {
  marker: "",
  mine: true,
  shortcuts: true,
  queue: "",
  places: {},
};

const draftPrefix = () => `${PREFIX}draft ${JSON.stringify(session.marker)} `;

function stored(change) {
  try {
    change(window.localStorage);
    $("trouble").hidden = true;
  } catch (error) {
    const full = error.name === "QuotaExceededError";
    const cause = full ? "its storage is full" : "its storage is not available";
    $("trouble").textContent =
      `This browser does not keep your progress: ${cause}. Export before you close the page.`;
    $("trouble").hidden = false;
  }
}

function saveDraft(submission, part) {
  const key = draftPrefix() + keyOf(submission, part);
  const draft = draftOf(submission, part);
  stored((storage) =>
    draft ? storage.setItem(key, JSON.stringify(draft)) : storage.removeItem(key),
  );
}

function saveSettings(change) {
  Object.assign(settings, change);
  stored((storage) => storage.setItem(SETTINGS, JSON.stringify(settings)));
}

function loadSettings() {
  stored((storage) => {
    try {
      Object.assign(settings, JSON.parse(storage.getItem(SETTINGS) ?? "{}"));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  });
}

// Read a draft; the log has taken it if it knows all of its exported marks.
function loadDraft(text) {
  let draft;
  try {
    draft = JSON.parse(text);
  } catch {
    return;
  }
  const part = parts.get(draft?.part);
  if (!part || !submissions.has(draft.submission)) return;
  const strings = (value) => (Array.isArray(value) ? value.filter((id) => id === String(id)) : []);
  const sent = strings(draft.sent);
  if (sent.length && sent.every((id) => known.has(id))) return;
  session.drafts.set(keyOf(draft.submission, draft.part), {
    ...contentFrom(part, draft),
    submission: draft.submission,
    part: draft.part,
    done: draft.done === true,
    withdrawn: draft.withdrawn === true,
    seen: strings(draft.seen),
    sent,
    answers: answersFrom(draft.answers),
    time: typeof draft.time === "string" ? draft.time : now(),
  });
}

function answersFrom(value) {
  const rows = Object.entries(value ?? {}).filter(([, one]) => typeof one?.text === "string");
  return Object.fromEntries(
    rows.map(([id, one]) => [id, { text: one.text, done: one.done === true }]),
  );
}

function loadDrafts() {
  session.drafts = new Map();
  stored((storage) => {
    for (let i = 0; i < storage.length; i++) {
      const key = storage.key(i);
      if (key.startsWith(draftPrefix())) loadDraft(storage.getItem(key));
    }
  });
}

// Another tab has changed something.
window.addEventListener("storage", (event) => {
  if (event.key === null || event.key.startsWith(draftPrefix())) {
    loadDrafts();
    refresh();
  }
});

window.addEventListener("beforeunload", (event) => {
  if (!$("trouble").hidden && unsent().length) event.preventDefault();
});
