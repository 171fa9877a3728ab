"use strict";

// One setting: its controls, its training, and its pictures.

const GRID = 11; // images along a side of the decoded plane
const ROWS = 3; // of samples, ten in each
const ACTIVE = 0.01; // variance of mu: Burda, Grosse and Salakhutdinov (2016), section 5.2
const RESTARTING = ["model", "latents", "width", "classes", "seed"];
const NAMES = { ae: "autoencoder", vae: "VAE", bce: "BCE", mse: "MSE" };
const UNITS = { bce: "nats", mse: "squared error" };
const DIGITS = Array.from({ length: CLASSES }, (_, digit) => digit);
const TENS = Array.from({ length: ROWS * CLASSES }, (_, at) => at % CLASSES);

class Panel {
  // `changed` is called with the name of a setting after a control has changed it.
  constructor(element, data, changed) {
    this.element = element;
    this.data = data;
    this.controls = Object.fromEntries(
      [...element.querySelectorAll("[name]")].map((control) => [control.name, control]),
    );
    this.standard = this.texts();
    this.firstOfEach = DIGITS.map((digit) => data.heldOut.labels.indexOf(digit));
    for (const [name, control] of Object.entries(this.controls)) {
      control.addEventListener(control.type === "range" ? "input" : "change", () => {
        if (!allowed(control).includes(readControl(control))) {
          writeControl(control, this.standard[name]);
        }
        this.keepAxes(name);
        this.label();
        changed(name);
      });
    }
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  // The text of each setting, by name.
  texts() {
    return Object.fromEntries(
      Object.entries(this.controls).map(([name, control]) => [name, readControl(control)]),
    );
  }

  values() {
    return Object.fromEntries(
      Object.entries(this.controls).map(([name, control]) => [name, allowed(control)]),
    );
  }

  write(texts) {
    for (const [name, text] of Object.entries(texts)) writeControl(this.controls[name], text);
    this.label();
  }

  // A plane shows two different units that exist.
  keepAxes(changed) {
    const { x, y, latents } = this.texts();
    for (const [axis, unit] of Object.entries({ x, y })) {
      if (Number(unit) > Number(latents) || (x === y && axis !== changed)) {
        writeControl(this.controls[axis], "auto");
      }
    }
  }

  // Write the values next to the sliders, and hide what has no effect.
  label() {
    const texts = this.texts();
    for (const control of Object.values(this.controls)) {
      if (control.type !== "range") continue;
      const text = readControl(control);
      control.setAttribute("aria-valuetext", text);
      control.parentElement.querySelector("output").textContent = text;
    }
    this.controls.beta.disabled = texts.model === "ae";
    this.controls.digit.parentElement.hidden = texts.classes === "0";
    for (const axis of ["x", "y"]) {
      this.controls[axis].parentElement.hidden = texts.latents === "2";
      for (const option of this.controls[axis].options) {
        option.hidden = Number(option.value) > Number(texts.latents);
      }
    }
    const parts = [NAMES[texts.model], `${texts.latents} latents`, NAMES[texts.loss]];
    if (texts.model === "vae") parts.splice(1, 0, `beta ${texts.beta}`);
    if (texts.classes === "1") parts.push("given the class");
    this.find("summary span").textContent = parts.join(", ");
  }

  // Begin a new training.
  restart() {
    this.training = new Training(asSettings(this.texts()), this.data);
  }

  // Take over a setting that may change during the training.
  follow() {
    this.training.settings = asSettings(this.texts());
  }

  // The two units that the planes show: those that were chosen, or else the most active.
  axes(measures) {
    const chosen = [this.texts().x, this.texts().y].map((text) => (text === "auto" ? null : text - 1));
    const byActivity = measures.map((_, unit) => unit)
      .sort((a, b) => measures[b].activity - measures[a].activity)
      .filter((unit) => !chosen.includes(unit))
      .slice(0, chosen.filter((unit) => unit === null).length)
      .sort((a, b) => a - b);
    return chosen.map((unit) => unit ?? byActivity.shift());
  }

  // Draw everything. `ranges`: what `curveRanges` returns.
  draw(ranges) {
    const { training, data } = this;
    const { settings, history } = training;
    const code = training.posteriors();
    const measures = unitMeasures(code, settings.latents);
    const [x, y] = this.axes(measures);
    const reach = planeReach(code.mu, settings.latents, x, y);
    drawPlane(this.find(".plane canvas"), {
      ...code, labels: data.heldOut.labels, latents: settings.latents, x, y, reach,
    });
    drawImages(this.find(".decoded canvas"), this.decodedPlane(x, y, reach), GRID);
    drawCurve(this.find(".curve canvas"), history, "reconstruction", ranges.reconstruction);
    drawCurve(this.find(".kl canvas"), history, "kl", ranges.kl);
    drawUnits(this.find(".units canvas"), measures.map(({ kl }) => kl));
    drawImages(this.find(".recon canvas"), this.reconstructions(code.mu), CLASSES);
    drawImages(this.find(".samples canvas"), this.samples(), CLASSES);
    this.caption(measures, x, y, reach);
    this.tabulate(history.at(-1), settings);
  }

  // Images on a grid over the plane, the other units at 0: (GRID * GRID, 64), the top row first.
  decodedPlane(x, y, reach) {
    const { network, settings } = this.training;
    const z = new Float64Array(GRID * GRID * settings.latents);
    const at = (i) => reach * ((2 * i + 1) / GRID - 1);
    for (let i = 0; i < GRID * GRID; i++) {
      z[i * settings.latents + x] = at(i % GRID);
      z[i * settings.latents + y] = -at(Math.floor(i / GRID));
    }
    return network.decode(z, new Array(GRID * GRID).fill(settings.digit)).pixels;
  }

  // A held-out image of each digit, then what is decoded from their mu: (20, 64).
  reconstructions(mu) {
    const { network, settings } = this.training;
    const { images } = pick(this.data.heldOut, this.firstOfEach);
    const z = this.firstOfEach.flatMap((row) => [...mu.subarray(row * settings.latents, (row + 1) * settings.latents)]);
    return Float64Array.from([...images, ...network.decode(Float64Array.from(z), DIGITS).pixels]);
  }

  // Images decoded from draws from N(0, I), always the same: (30, 64). With the class, each column
  // is a digit and each row a draw.
  samples() {
    const { network, settings } = this.training;
    const draws = new Random(1).normals(TENS.length * settings.latents);
    if (!settings.classes) return network.decode(draws, TENS).pixels;
    const z = TENS.flatMap((_, at) => {
      const row = Math.floor(at / CLASSES);
      return [...draws.subarray(row * settings.latents, (row + 1) * settings.latents)];
    });
    return network.decode(Float64Array.from(z), TENS).pixels;
  }

  caption(measures, x, y, reach) {
    const { model, classes, latents, digit, loss } = this.training.settings;
    const chosen = [this.texts().x, this.texts().y].filter((text) => text !== "auto").length;
    const which = latents === 2 ? "" : ` Units ${x + 1} and ${y + 1} of ${latents}: ${["the most active", "one chosen, one the most active", "chosen"][chosen]}.`;
    const active = measures.filter(({ activity }) => activity > ACTIVE).length;
    const captions = {
      plane: model === "vae"
        ? `Each held-out image: its digit at mu, and an ellipse of one standard deviation. Dashed: the prior, 1 and 2 standard deviations.${which}`
        : `The code of each held-out image. Dashed: N(0, I), 1 and 2 standard deviations.${which}`,
      decoded: `Decoded on a grid from -${reach} to ${reach}${latents > 2 ? ", the other units at 0" : ""}${classes ? `, told that it is a ${digit}` : ""}.`,
      curve: `In ${UNITS[loss]}. Solid: training; dashed: held out. The axis begins at the least possible value.`,
      kl: model === "vae" ? "In nats. Solid: training; dashed: held out." : "An autoencoder has no KL term.",
      units: model === "vae"
        ? `In nats. ${active} of ${latents} units are active: their mu varies between images (variance above ${ACTIVE}).`
        : `An autoencoder has no KL term. ${active} of ${latents} units are active: their code varies between images.`,
      recon: "Above: a held-out image of each digit. Below: decoded from its mu.",
      samples: classes
        ? "Each column is told its digit; each row has one z from N(0, I)."
        : model === "vae" ? "Decoded from 30 draws of z from N(0, I)."
          : "An autoencoder has no prior: decoded from 30 draws from N(0, I) all the same.",
    };
    for (const [name, text] of Object.entries(captions)) this.find(`.${name} figcaption`).textContent = text;
  }

  tabulate({ train, heldOut }, { model, beta, loss }) {
    const rows = this.element.querySelectorAll("tbody tr");
    const weight = model === "vae" ? beta : 0;
    rows[0].cells[0].textContent = `Reconstruction (${UNITS[loss]})`;
    rows[1].cells[0].textContent = "KL (nats)";
    rows[2].cells[0].textContent = model === "vae" ? `Reconstruction + ${beta} KL` : "Loss: reconstruction";
    [train, heldOut].forEach((terms, column) => {
      const numbers = terms
        ? [terms.reconstruction, terms.kl, terms.reconstruction + weight * terms.kl]
        : [null, null, null];
      if (model === "ae") numbers[1] = null;
      numbers.forEach((number, row) => {
        rows[row].cells[column + 1].textContent = number === null ? "–" : shortNumber(number);
      });
    });
  }
}

// How far from 0 a plane goes: over nearly all codes, in few steps so that it seldom changes.
function planeReach(mu, latents, x, y) {
  const sizes = [];
  for (let at = 0; at < mu.length; at += latents) {
    sizes.push(Math.max(Math.abs(mu[at + x]), Math.abs(mu[at + y])));
  }
  sizes.sort((a, b) => a - b);
  const most = sizes[Math.floor(0.99 * sizes.length)];
  return [3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256].find((reach) => reach > most) ?? 1024;
}

// The least reconstruction term that there can be: BCE of a grey pixel with itself is above 0.
function leastPossible(images, loss) {
  if (loss === "mse") return 0;
  const entropy = (x) => (x === 0 || x === 1 ? 0 : -x * Math.log(x) - (1 - x) * Math.log(1 - x));
  return (images.reduce((sum, x) => sum + entropy(x), 0) * PIXELS) / images.length;
}

// The vertical ranges of the curves, for each panel: the same for panels with the same loss.
function curveRanges(panels, panel) {
  const { loss } = panel.training.settings;
  const same = panels.filter(({ training }) => training.settings.loss === loss);
  const top = (some, term) => Math.max(0.1, ...some.flatMap(({ training }) => {
    const terms = training.history.slice(1).flatMap(({ train, heldOut }) => [train[term], heldOut[term]]);
    return terms.filter(Number.isFinite);
  }));
  const bottom = leastPossible(panel.data.heldOut.images, loss);
  return {
    reconstruction: { bottom, top: Math.max(bottom + 1, top(same, "reconstruction")) },
    kl: { bottom: 0, top: top(panels, "kl") },
  };
}
