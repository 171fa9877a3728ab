"use strict";

// The page: what is chosen, what is shown of it, and what pointers and keys do.

const explorer = (() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const { points, mixture, sizes } = data;
  const network = new Network(data.network, sizes);
  const pixels = bytes(points.pixels);
  const image = (i) => Float32Array.from(pixels.subarray(784 * i, 784 * (i + 1)), (v) => v / 255);
  const kinds = new Map(data.classes.map((name, kind) => [name, kind]));
  const plane = new Plane(find("plane"), 1.1 * sizes.reach);
  const lens = new Plane(find("lens"), plane.whole);
  const rings = mixture.means.flatMap((mean, k) => [1, 2, 3].map(
    (deviations) => ({ places: ring(mean, mixture.covariances[k], deviations), name: "ink" }),
  ));
  const names = mixture.means.map((z, k) => ({ z, text: String(mixture.labels[k]) }));
  let shown = [];
  let cursor = [0, 0];
  let line = [];
  let chosen = null; // what `subject` returns, or a drawing of the same form
  let turn = 0; // which of the draws of a standard normal are used

  // An image of the data: what Python computed of it.
  function subject(i) {
    const label = points.label[i] === null ? "no label" : `labelled ${points.label[i]}`;
    return {
      index: i,
      pixels: image(i),
      mu: points.z[i],
      logvar: points.logvar[i],
      kl: points.kl[i],
      ways: { encoder: points.encoder[i], search: points.search[i] },
      text: `${points.set[i]} image ${i + 1}, ${label}, classified ${points.predicted[i]}`,
    };
  }

  // A drawing: what this page computes of it. It does not search.
  function drawing(digit) {
    const { mu, logvar } = network.encode(digit);
    const recon = network.decode(mu);
    const encoder = {
      z: mu, mse: meanSquaredError(recon, digit), ssim: structuralSimilarity(recon, digit),
    };
    return {
      pixels: digit,
      mu,
      logvar,
      kl: klDivergence({ mu, logvar }),
      ways: { encoder },
      text: `your drawing, classified ${likeliest(mixture, mu)}`,
    };
  }

  function tabulate(table, z) {
    const rows = Object.entries(classProbabilities(mixture, z)).map(([label, share]) => {
      const row = document.createElement("tr");
      row.insertCell().textContent = label;
      const meter = Object.assign(document.createElement("meter"), { value: share, max: 1 });
      meter.setAttribute("aria-label", `probability of ${label}`);
      row.insertCell().append(meter);
      row.insertCell().textContent = `${(100 * share).toFixed(1)} %`;
      return row;
    });
    table.replaceChildren(...rows);
  }

  const pair = (z, digits = 2) => `(${z.map((value) => value.toFixed(digits)).join(", ")})`;
  const latents = () => drawLatents(chosen, data.draws[turn]);

  function redraw() {
    const marks = [{ z: cursor, shape: "cross", name: "ink" }];
    const ellipse = [];
    if (chosen !== null) {
      ellipse.push(...[1, 2, 3].map((n) => ({ places: posteriorRing(chosen, n), name: "accent" })));
      const { encoder, search } = chosen.ways;
      marks.push({ z: encoder.z, shape: "ring", name: "accent" });
      if (search) marks.push({ z: search.z, shape: "square", name: "found" });
    }
    const dots = shown.map((i) => ({ z: points.z[i], kind: kinds.get(colourClass(i)) }));
    plane.draw({ points: dots, rings: [...rings, ...ellipse], names, line, marks });
    if (chosen !== null) {
      const own = latents().map((z) => ({ z, shape: "dot", name: "ink" }));
      lens.draw({ points: dots, rings: ellipse, marks: [...own, ...marks.slice(1)] });
    }
    count();
  }

  // The class that a point is coloured by, which the filter goes by too.
  function colourClass(i) {
    return find("by").value === "label" ? points.label[i] ?? points.predicted[i] : points.predicted[i];
  }

  function count() {
    const outside = shown.filter((i) => !plane.holds(points.z[i])).length;
    const images = shown.length === 1 ? "1 image" : `${shown.length} images`;
    const hidden = outside === 0 ? "" : `, ${outside} outside the view`;
    const none = "No image is both of this class and of this kind: choose another class, or show all images.";
    find("count").textContent = shown.length === 0 ? none : images + hidden;
  }

  function move(z) {
    cursor = z;
    paint(find("here"), [network.decode(z)]);
    find("place").textContent = `z = ${pair(z)}`;
    tabulate(find("probabilities"), z);
    redraw();
  }

  function nearest(z) {
    let [best, least] = [null, Infinity];
    for (const i of shown) {
      const distance = Math.hypot(points.z[i][0] - z[0], points.z[i][1] - z[1]);
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  // Show an image or a drawing: both ways to a latent, the posterior, and draws from it.
  function choose(one) {
    chosen = one;
    const { encoder, search } = one.ways;
    find("nothing").hidden = true;
    find("chosen").hidden = false;
    paint(find("image"), [one.pixels]);
    find("about").textContent = `${one.text}. KL to the prior: ${one.kl.toFixed(2)} nats.`;
    for (const [name, way] of [["encoder", encoder], ["search", search]]) {
      find(`${name}-way`).hidden = !way;
      if (!way) continue;
      paint(find(`${name}-recon`), [network.decode(way.z)]);
      find(`${name}-figures`).textContent =
        `z ${pair(way.z)}, squared error ${way.mse.toFixed(4)}, SSIM ${way.ssim.toFixed(3)}`;
    }
    find("ways").textContent = search ? compare(encoder, search)
      : "The search runs in Python only, so a drawing has the encoder's way alone.";
    const apart = search ? search.z.map((value, i) => Math.abs(value - one.mu[i])) : [0];
    lens.half = Math.min(lens.whole, Math.max(4 * spread(one), 1.2 * Math.max(...apart)));
    lens.centre = one.mu;
    if (!plane.holds(one.mu)) plane.zoom(1, one.mu);
    find("spread").textContent = `Standard deviations ${pair(one.logvar.map((v) => Math.exp(v / 2)), 3)}.`;
    showDraws();
    tabulate(find("posterior"), one.mu);
    redraw();
  }

  const spread = (one) => Math.exp(Math.max(...one.logvar) / 2);

  function compare(encoder, search) {
    const apart = Math.hypot(search.z[0] - encoder.z[0], search.z[1] - encoder.z[1]);
    const gain = search.ssim - encoder.ssim;
    const change = Math.abs(gain) < 0.0005 ? "does not change the SSIM"
      : `${gain > 0 ? "raises" : "lowers"} the SSIM by ${Math.abs(gain).toFixed(3)}`;
    return `The search ends ${apart.toFixed(3)} from the encoder's mean and ${change}.`;
  }

  function showDraws() {
    paint(find("draws"), latents().map((z) => network.decode(z)));
  }

  function tap(z) {
    const near = nearest(z);
    move(z);
    if (near !== null) choose(subject(near));
  }

  function between(from, to) {
    line = [from, to];
    const steps = Array.from({ length: 11 }, (_, i) => i / 10);
    const places = steps.map((t) => from.map((value, i) => value + t * (to[i] - value)));
    find("strip").hidden = false;
    paint(find("strip"), places.map((z) => network.decode(z)));
    find("between").textContent = `classified ${places.map((z) => likeliest(mixture, z)).join(" ")}`;
    move(to);
  }

  function filter() {
    const [own, which] = [find("class").value, find("which").value];
    shown = points.z.map((_, i) => i).filter((i) => own === "" || String(colourClass(i)) === own);
    if (which === "wrong") {
      shown = shown.filter((i) => points.label[i] !== null && points.label[i] !== points.predicted[i]);
    } else if (which === "worst") {
      const similarity = (i) => points.search[i].ssim;
      shown = shown.sort((a, b) => similarity(a) - similarity(b)).slice(0, 50);
    } else if (which === "validation") {
      shown = shown.filter((i) => points.set[i] === "validation");
    }
    for (const id of ["previous", "next"]) find(id).disabled = shown.length === 0;
    redraw();
  }

  // Choose the image before or after the chosen one, among those shown.
  function step(by) {
    const at = chosen === null ? -1 : shown.indexOf(chosen.index);
    const next = at < 0 ? (by > 0 ? 0 : shown.length - 1) : (at + by + shown.length) % shown.length;
    choose(subject(shown[next]));
  }

  function zoom(factor) {
    plane.zoom(factor, factor < 1 && chosen !== null ? chosen.mu : plane.centre);
    redraw();
  }

  function key(event) {
    const length = (event.shiftKey ? 0.5 : 0.1) * (plane.half / plane.whole);
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const zooms = { "+": 1 / 2, "=": 1 / 2, "-": 2, 0: Infinity };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter") {
      tap(cursor);
    } else if (event.key in zooms) {
      zoom(zooms[event.key]);
    } else if (event.key in steps) {
      const to = cursor.map((value, i) => Math.min(
        plane.whole, Math.max(-plane.whole, value + length * steps[event.key][i]),
      ));
      if (!plane.holds(to)) plane.zoom(1, to);
      move(to);
    } else {
      return;
    }
    event.preventDefault();
  }

  // A press that moves is a drag; any other is a tap. A vertical swipe by touch is the browser's,
  // which scrolls the page and cancels the press.
  function listen(canvas) {
    let from = null;
    let dragged = false;
    canvas.addEventListener("pointerdown", (event) => {
      from = { z: plane.under(event), x: event.clientX, y: event.clientY };
      dragged = false;
      if (event.pointerType !== "touch") canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from === null) {
        if (event.pointerType !== "touch") move(plane.under(event));
        return;
      }
      const [across, along] = [event.clientX - from.x, event.clientY - from.y].map(Math.abs);
      dragged ||= event.pointerType === "touch" ? across > Math.max(6, along) : across + along > 6;
      if (dragged) between(from.z, plane.under(event));
    });
    canvas.addEventListener("pointerup", (event) => {
      if (from !== null && !dragged) tap(plane.under(event));
      from = null;
    });
    canvas.addEventListener("pointercancel", () => { from = null; });
    canvas.addEventListener("keydown", key);
  }

  const on = (id, event, action) => find(id).addEventListener(event, action);
  for (const id of ["class", "which", "by"]) on(id, "change", filter);
  on("closer", "click", () => zoom(1 / 2));
  on("farther", "click", () => zoom(2));
  on("all", "click", () => zoom(Infinity));
  on("previous", "click", () => step(-1));
  on("next", "click", () => step(1));
  on("others", "click", () => {
    turn = (turn + 1) % data.draws.length;
    showDraws();
    redraw();
  });
  const clear = preparePad(find("pad"), (digit) => {
    const one = drawing(digit);
    find("verdict").textContent = `at ${pair(one.mu)}: a ${likeliest(mixture, one.mu)}`;
    choose(one);
  });
  on("pad", "pointerdown", () => { find("hint").hidden = true; });
  on("clear", "click", () => {
    clear();
    find("hint").hidden = false;
    find("verdict").textContent = "";
  });
  listen(find("plane"));
  window.addEventListener("resize", redraw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  filter();
  move([0, 0]);
  return { network, plane, cursor: () => cursor, chosen: () => chosen, latents, classProbabilities: (z) => classProbabilities(mixture, z) };
})();
