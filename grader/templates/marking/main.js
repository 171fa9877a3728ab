// The page as a whole: what is shown where, and what the buttons do.

function submissionName(submission) {
  const { number, id, students } = submissions.get(submission);
  const named = [id, ...students].join(", ");
  return session.names ? `Submission ${number}: ${named}` : `Submission ${number}`;
}

function placeLabel(one) {
  const name = submissionName(one.submission);
  return queue().id.startsWith("part ") ? name : `${name}, ${parts.get(one.part).title}`;
}

// Show the place where the marker is.
function show() {
  const isPlace = place() !== undefined;
  $("main").hidden = !isPlace;
  $("nothing").hidden = isPlace;
  if (isPlace) {
    $("heading").textContent = placeLabel(place());
    showEvidence(place());
    showPanel();
  }
  listPlaces();
  refresh();
  if (!isPlace) return;
  if (document.activeElement === document.body) $("rubric").focus({ preventScroll: true });
  $("rubric").scrollTop = 0;
  window.scrollTo(0, 0);
  say(`${queue().title}: ${placeLabel(place())}, ${$("status").textContent}.`);
}

// Show what has changed: points, states and counts.
function refresh() {
  if (!session.marker || !queues.length) return;
  if (place()) refreshPanel();
  const { places, finished } = queue();
  const done = places.filter(finished).length;
  $("position").textContent = places.length
    ? `${at.index + 1} of ${places.length}, ${done} done`
    : "none";
  [...$("go").options].forEach((option, i) => {
    option.textContent = `${finished(places[i]) ? "✓" : "·"} ${placeLabel(places[i])}`;
  });
  listQueues();
  const count = unsent().length;
  $("unsent").textContent = count ? `${counted(count, "change")} not exported` : "";
}

function listQueues() {
  queues.forEach((one, index) => {
    const done = one.places.filter(one.finished).length;
    const button = $("queues").children[index].firstChild;
    button.lastChild.textContent = `${done}/${one.places.length}`;
    if (index === at.queue) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  });
}

function makeQueueButtons() {
  const buttons = queues.map((one, index) => {
    const attributes = { type: "button", onclick: () => toQueue(index) };
    const title = element("span", {}, one.title);
    const count = element("span", { class: "count" });
    return element("li", {}, element("button", attributes, title, " ", count));
  });
  $("queues").replaceChildren(...buttons);
}

function listPlaces() {
  const options = queue().places.map((_, i) => element("option", { value: i }));
  $("go").replaceChildren(...options);
  $("go").selectedIndex = at.index;
}

// Let the mark count, unless something is missing; then go on.
function finish(isNext = true) {
  const { submission, part: name, request } = place();
  const invalid = $("form").querySelector("[aria-invalid=true]");
  const untyped = !partOf().items.length && partOf().manual && content().points === null;
  if (invalid || untyped) {
    (invalid ?? $("points")).focus();
    return say(`Type points from 0 to ${partOf().points} first.`);
  }
  if (request && !$("answer").value.trim()) {
    $("answer").focus();
    return say("Write an answer first.");
  }
  const answers = draftOf(submission, name)?.answers ?? {};
  const answer = request ? { [request.id]: { text: $("answer").value, done: true } } : {};
  if (request || statusOf(submission, name) !== "marked") {
    change({ done: true, withdrawn: false, answers: { ...answers, ...answer } });
  }
  const points = `${$("total").textContent} ${$("possible").textContent}`;
  const said = `${submissionName(submission)}: ${points}.`;
  return isNext ? toUnfinished(said) : say(said);
}

function takeBack() {
  if ($("withdraw").hidden) return say("There is no mark to withdraw.");
  withdraw(place().submission, place().part);
  show();
  return say("Withdrawn: this one is not marked.");
}

function undoHere() {
  if ($("undo").hidden) return say("There is nothing to undo.");
  undo(place().submission, place().part);
  show();
  return say("Back to the mark that stands.");
}

function switchMine() {
  if (!data.markers.length) return say("The page was written without markers: all is yours.");
  saveSettings({ mine: !settings.mine });
  begin();
  return say(settings.mine ? "Only yours are shown." : "Everything is shown.");
}

function switchNames() {
  session.names = !session.names;
  show();
  showSwitches();
  say(session.names ? "Names are shown." : "Names are hidden.");
}

function showSwitches() {
  $("names").setAttribute("aria-pressed", String(session.names));
  $("mine").setAttribute("aria-pressed", String(settings.mine));
  $("mine").hidden = !data.markers.length;
  $("marker").textContent = session.marker;
  $("shortcuts").checked = settings.shortcuts;
}

// Make the queues of this marker, and show where the marker was.
function begin() {
  buildQueues();
  makeQueueButtons();
  showSwitches();
  show();
}

function askWho() {
  const pick = (name) =>
    element("button", { type: "button", onclick: () => setMarker(name) }, name);
  $("known-markers").replaceChildren(...data.markers.map(pick));
  $("who-name").value = session.marker;
  $("who").showModal();
}

function setMarker(name) {
  const marker = wellFormed(name.trim());
  if (!marker) return $("who-name").focus();
  session.marker = marker;
  saveSettings({ marker });
  $("who").close();
  loadDrafts();
  begin();
  return $("rubric").focus({ preventScroll: true });
}

async function importFile() {
  const [file] = $("file").files;
  $("file").value = "";
  if (!file) return;
  try {
    await importMarks(await file.text());
  } catch (error) {
    say(error.message);
    return;
  }
  const said = $("said").textContent;
  show();
  say(said);
}

function listen() {
  const clicks = {
    previous: () => step(-1),
    next: () => step(1),
    unmarked: () => toUnfinished(),
    done: () => finish(),
    withdraw: takeBack,
    undo: undoHere,
    names: switchNames,
    mine: switchMine,
    "who-button": askWho,
    export: () => exportMarks(),
    import: () => $("file").click(),
    "help-button": () => $("help").showModal(),
    "zoom-previous": () => turnZoom(-1),
    "zoom-next": () => turnZoom(1),
    "zoom-larger": () => scaleZoom(1.25),
    "zoom-smaller": () => scaleZoom(0.8),
  };
  for (const [id, run] of Object.entries(clicks)) $(id).addEventListener("click", run);
  for (const button of document.querySelectorAll("dialog .close")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  $("go").addEventListener("change", () => goTo($("go").selectedIndex));
  $("file").addEventListener("change", importFile);
  $("shortcuts").addEventListener("change", (event) =>
    saveSettings({ shortcuts: event.target.checked }),
  );
  $("comment-filter").addEventListener("input", listComments);
  $("comments").addEventListener("keydown", moveInComments);
  $("zoom").addEventListener("keydown", onKeyInZoom);
  $("who-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setMarker($("who-name").value);
  });
  $("who").addEventListener("close", () => session.marker || askWho());
  document.addEventListener("keydown", onKey);
}

loadSettings();
listCommands();
listen();
if (settings.marker) setMarker(settings.marker);
else askWho();
