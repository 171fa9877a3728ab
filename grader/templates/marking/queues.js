// What there is to mark: a queue for each part, one of contradictions, one of requests.
//
// A place in a queue is a submission and a part, and a request if it is about one.

// A hash of 32 bits: FNV-1a, and the last steps of MurmurHash3, which spread it.
function hashed(text) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

// The submissions in an order of this part's and this marker's own.
function shuffled(part) {
  const rank = (one) => hashed(`${one.id}\0${part}\0${session.marker}`);
  return [...data.submissions].sort((one, other) => rank(one) - rank(other));
}

function isMine(submission, part) {
  const markers = data.assigned[part]?.[submission];
  return !markers || markers.includes(session.marker);
}

function partQueue(part) {
  const places = shuffled(part.name).map((one) => ({ submission: one.id, part: part.name }));
  const mine = places.filter((place) => isMine(place.submission, part.name));
  return {
    id: `part ${part.name}`,
    title: part.title,
    places: data.markers.length && settings.mine ? mine : places,
    finished: ({ submission, part: name }) =>
      ["marked", "contradiction"].includes(statusOf(submission, name)),
  };
}

function contradictionQueue() {
  const places = [...standing.values()].filter(contradict).map(([first]) => first);
  return {
    id: "contradictions",
    title: "Contradictions",
    places: places.map(({ submission, part }) => ({ submission, part })),
    finished: ({ submission, part }) => statusOf(submission, part) === "marked",
  };
}

function requestQueue() {
  return {
    id: "requests",
    title: "Requests",
    places: data.requests.map((request) => ({ ...request, request })),
    finished: ({ submission, part, request }) => {
      const draft = draftOf(submission, part);
      return Boolean(draft?.done && draft.answers[request.id]?.done);
    },
  };
}

let queues = [];
let at = { queue: 0, index: 0 };

const queue = () => queues[at.queue];
const place = () => queue().places[at.index];
const placeKey = ({ submission, part, request }) =>
  JSON.stringify([submission, part, request?.id ?? ""]);

// Make the queues for this marker, and go to where the marker was.
function buildQueues() {
  const manual = data.parts.filter((part) => part.manual).map(partQueue);
  const others = [contradictionQueue(), requestQueue()].filter((one) => one.places.length);
  queues = [...manual, ...others];
  const last = queues.findIndex((one) => one.id === settings.queue);
  at = { queue: Math.max(last, 0), index: 0 };
  at.index = rememberedIndex();
}

// Where the marker was in this queue; at first, what is not finished yet.
function rememberedIndex() {
  const { places, finished, id } = queue();
  const key = settings.places[`${session.marker} ${id}`];
  const found = places.findIndex((one) => placeKey(one) === key);
  return found >= 0 ? found : Math.max(places.findIndex((one) => !finished(one)), 0);
}

function goTo(index) {
  at.index = index;
  const { id, places } = queue();
  const key = places.length ? placeKey(place()) : "";
  saveSettings({ queue: id, places: { ...settings.places, [`${session.marker} ${id}`]: key } });
  show();
}

function step(by) {
  const index = at.index + by;
  if (index < 0) return say("This is the first one.");
  if (index >= queue().places.length) return say("This is the last one.");
  return goTo(index);
}

function toQueue(index) {
  at.queue = (index + queues.length) % queues.length;
  goTo(rememberedIndex());
  $("queues").children[at.queue].scrollIntoView({ block: "nearest", inline: "nearest" });
}

// Go to the next place that is not finished, after this one or from the start.
function toUnfinished(before = "") {
  const { places, finished, title } = queue();
  const order = places.map((_, i) => (at.index + 1 + i) % places.length);
  const next = order.find((i) => !finished(places[i]));
  if (next === undefined || next === at.index) {
    show();
    const open = next === at.index && !finished(places[next]);
    const left = open ? "Only this one is left" : "Nothing is left";
    return say(`${before} ${left} in ${title}.`.trim());
  }
  goTo(next);
  return say(`${before} ${$("said").textContent}`.trim());
}
