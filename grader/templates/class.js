"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const table = find("everybody");
  const rows = [...table.tBodies[0].rows];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const sources = [];
  let picked = null;  // { what, members } of a plot

  function show() {
    const [words, section, state, outcome] = ["search", "section", "state", "outcome"].map(
      (id) => find(id)?.value ?? "",
    );
    for (const row of rows) {
      const { number, states, verdicts } = row.dataset;
      row.hidden = !(
        texts.get(row).includes(words.trim().toLowerCase()) &&
        (section === "" || `in ${row.dataset.section}` === section) &&
        (state === "" || JSON.parse(states).includes(state)) &&
        (outcome === "" || JSON.parse(verdicts).includes(outcome)) &&
        (picked === null || (number !== "" && picked.members.has(Number(number))))
      );
    }
    const shown = rows.filter((row) => !row.hidden).length;
    find("shown").textContent = `${shown} of ${rows.length} shown`;
    find("picked").hidden = picked === null;
    find("what").textContent = picked === null ? "" : picked.what;
  }

  // What is picked in one plot replaces what was picked in another.
  function pick(source) {
    const { indices } = source.selected;
    if (indices.length === 0 && picked?.source !== source) return;
    const members = indices.flatMap((i) => source.data.members[i]);
    const what = indices.map((i) => source.data.what[i]).join("; ");
    picked = indices.length === 0 ? null : { source, what, members: new Set(members) };
    for (const other of sources) {
      if (other !== source && other.selected.indices.length > 0) other.selected.indices = [];
    }
    show();
  }

  function clear() {
    for (const id of ["search", "section", "state", "outcome"]) if (find(id)) find(id).value = "";
    const { source } = picked ?? {};
    if (source) source.selected.indices = [];
    show();
  }

  function sort(heading) {
    const headings = [...heading.parentElement.cells];
    const at = headings.indexOf(heading);
    const falling = heading.getAttribute("aria-sort") === "ascending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const numbers = heading.classList.contains("number");
    const text = (row) => row.cells[at].textContent.trim();
    const order = (a, b) => (numbers ? a - b : a.localeCompare(b));
    rows.sort((one, other) => {
      const [a, b] = [text(one), text(other)];
      if (a === "" || b === "") return (a === "") - (b === "");  // what is missing comes last
      return (falling ? -1 : 1) * order(a, b);
    });
    table.tBodies[0].append(...rows);
  }

  function paint(plot, dark) {
    const [ink, faint] = dark ? ["#ddd", "#999"] : ["#222", "#666"];
    const colours = {
      axis_label_text_color: ink, major_label_text_color: ink, label_text_color: ink,
      axis_line_color: faint, major_tick_line_color: faint, grid_line_color: faint,
    };
    for (const part of [...plot.left, ...plot.below, ...plot.center]) {
      for (const [name, colour] of Object.entries(colours)) if (name in part) part[name] = colour;
      for (const label of part.major_label_overrides?.values() ?? []) label.text_color = ink;
    }
  }

  async function embed() {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    for (const [i, item] of JSON.parse(find("figures").textContent).entries()) {
      if (item === null) continue;
      const { roots: [view] } = await Bokeh.embed.embed_item(item, `plot-${i}`);
      const plot = view.model;
      paint(plot, dark.matches);
      dark.addEventListener("change", () => paint(plot, dark.matches));
      // Nothing in a plot reacts to keys: the filters of the table do what its points do.
      view.canvas_view.events_el.removeAttribute("tabindex");
      for (const { data_source: source } of plot.renderers) {
        if (!("members" in source.data)) continue;
        sources.push(source);
        source.selected.properties.indices.change.connect(() => pick(source));
      }
    }
    document.body.dataset.ready = "yes";
  }

  for (const id of ["search", "section", "state", "outcome"]) find(id)?.addEventListener("input", show);
  for (const button of document.querySelectorAll("button.clear")) button.addEventListener("click", clear);
  for (const button of document.querySelectorAll("button[data-state]")) {
    button.addEventListener("click", () => {
      find("state").value = button.dataset.state;
      show();
      find("state").focus();
    });
  }
  for (const heading of table.tHead.rows[0].cells) {
    heading.querySelector("button").addEventListener("click", () => sort(heading));
  }
  show();
  embed();
})();
