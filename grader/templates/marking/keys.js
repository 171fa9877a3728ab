// Commands and their keys. They rest while somebody types in a field, or if they are switched off.

const COMMANDS = [
  ["j", "next submission", () => step(1)],
  ["k", "previous submission", () => step(-1)],
  ["n", "next that is not marked", () => toUnfinished()],
  ["l", "next part or queue", () => toQueue(at.queue + 1)],
  ["h", "previous part or queue", () => toQueue(at.queue - 1)],
  ["Enter", "done; on to the next not marked", () => finish()],
  ["d", "done, and stay", () => finish(false)],
  ["a", "adjustment, or points", () => ($("adjustment") ?? $("points")).focus()],
  ["c", "comment", () => $("comment").focus()],
  ["r", "comments given before", () => openComments()],
  ["e", "answer to a request", () => $("answer")?.focus()],
  ["z", "zoom the pictures", () => openZoom(0)],
  ["w", "withdraw the mark", () => takeBack()],
  ["u", "undo: back to the mark that stands", () => undoHere()],
  ["m", "mine, or all", () => switchMine()],
  ["?", "this help", () => $("help").showModal()],
];
const commands = new Map(COMMANDS.map(([key, , run]) => [key, run]));

const isField = (target) =>
  target.matches("textarea, select, input:not([type=checkbox], [type=radio])");
const pressesItself = (target) => target.closest("button, a, summary") !== null;

function onKey(event) {
  const { key, target, ctrlKey, altKey, metaKey, isComposing } = event;
  if (isComposing || altKey || metaKey || document.querySelector("dialog[open]")) return;
  if (isField(target)) onKeyInField(event);
  else if (!ctrlKey && settings.shortcuts && !(key === "Enter" && pressesItself(target))) {
    const item = place() && partOf().items[ITEM_KEYS.indexOf(key)];
    const run = item ? () => toggle(item) : commands.get(key);
    if (!run || (!place() && !["h", "l", "m", "?"].includes(key))) return;
    event.preventDefault();
    run();
  }
}

// In a field, Escape leaves it, and Enter, in a text Ctrl+Enter, means done.
function onKeyInField(event) {
  const { key, target, ctrlKey } = event;
  const isEnd = key === "Enter" && (ctrlKey || target.matches("input"));
  if (isEnd && $("form").contains(target)) finish();
  else if (key === "Escape") $("rubric").focus();
  else return;
  event.preventDefault();
}

function onKeyInZoom(event) {
  const keys = {
    ArrowRight: () => turnZoom(1),
    ArrowLeft: () => turnZoom(-1),
    "+": () => scaleZoom(1.25),
    "-": () => scaleZoom(0.8),
    z: () => $("zoom").close(),
  };
  if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  keys[event.key]();
}

function listCommands() {
  const rows = [
    ["1–9, letters", "an item of the rubric"],
    ...COMMANDS,
    ["Ctrl+Enter", "done, from within a text"],
    ["Esc", "leave a field or a dialog"],
  ];
  const lines = rows.map(([key, what]) => element("li", {}, element("kbd", {}, key), ` ${what}`));
  $("commands").replaceChildren(...lines);
}
