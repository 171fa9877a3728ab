// The dialog with comments that were given before in this part, the most used first.

function commentsBefore(part) {
  const counts = new Map(data.comments[part]);
  for (const draft of session.drafts.values()) {
    const text = draft.comment.trim();
    const isNew = draft.part === part && text && text !== baseOf(draft.submission, part).comment;
    if (isNew) counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts].sort(([, one], [, other]) => other - one);
}

function openComments() {
  $("comment-filter").value = "";
  listComments();
  $("comments").showModal();
  $("comment-filter").focus();
}

function listComments() {
  const wanted = $("comment-filter").value.toLowerCase();
  const all = commentsBefore(place().part);
  const shown = all.filter(([text]) => text.toLowerCase().includes(wanted));
  const rows = shown.map(([text, count]) =>
    element(
      "li",
      {},
      element(
        "button",
        { type: "button", onclick: () => takeComment(text) },
        element("span", { class: "text" }, text),
        element("span", { class: "count" }, `${count}×`),
      ),
    ),
  );
  $("comment-list").replaceChildren(...rows);
  $("comment-count").textContent = all.length
    ? `${shown.length} of ${counted(all.length, "comment")}`
    : "Nobody has given a comment in this part yet.";
}

// Add a comment to what is written already.
function takeComment(text) {
  $("comments").close();
  const field = $("comment");
  const before = field.value.trim();
  if (!before.split("\n").includes(text) && before !== text) {
    field.value = before ? `${before}\n${text}` : text;
    field.dispatchEvent(new Event("input"));
  }
  say(`Comment: ${text}`);
  field.focus();
}

// Arrow keys move among the comments; Enter in the filter takes the first.
function moveInComments(event) {
  const buttons = [...$("comment-list").querySelectorAll("button")];
  const index = buttons.indexOf(document.activeElement);
  if (event.key === "ArrowDown") buttons[Math.min(index + 1, buttons.length - 1)]?.focus();
  else if (event.key === "ArrowUp") (buttons[index - 1] ?? $("comment-filter")).focus();
  else if (event.key === "Enter" && event.target === $("comment-filter")) buttons[0]?.click();
  else return;
  event.preventDefault();
}
