"use strict";

// The network of models.py, as inference runs it: one image, one latent at a time.
class Network {
  constructor(packed, { reach, cell, near, window, waves }) {
    Object.assign(this, { reach, cell, near, window, waves });
    this.weights = {};
    for (const [name, entry] of Object.entries(packed)) this.weights[name] = unpack(entry);
    this.tables = Object.keys(packed).filter((name) => name.startsWith("decoder.0.tables.")).sort();
    this.cells = Math.sqrt(this.weights["encoder.cell_scores.bias"].values.length);
  }

  linear(x, name) {
    const { values, shape } = this.weights[`${name}.weight`];
    const bias = this.weights[`${name}.bias`].values;
    const [rows, columns] = shape;
    const out = new Float32Array(rows);
    for (let row = 0, at = 0; row < rows; row++) {
      let sum = bias[row];
      for (let column = 0; column < columns; column++, at++) sum += values[at] * x[column];
      out[row] = sum;
    }
    return out;
  }

  norm(x, name) {
    const weight = this.weights[`${name}.weight`].values;
    const bias = this.weights[`${name}.bias`].values;
    let mean = 0;
    let variance = 0;
    for (const value of x) mean += value / x.length;
    for (const value of x) variance += (value - mean) ** 2 / x.length;
    const scale = 1 / Math.sqrt(variance + 1e-5);
    return x.map((value, i) => (value - mean) * scale * weight[i] + bias[i]);
  }

  block(x, name) {
    const hidden = this.linear(this.norm(x, `${name}.norm`), `${name}.expand`);
    const active = hidden.map((value) => value / (1 + Math.exp(-value)));
    const change = this.linear(active, `${name}.contract`);
    return x.map((value, i) => value + change[i]);
  }

  mlp(x, name, blocks = 2) {
    let hidden = this.linear(x, `${name}.0`);
    for (let part = 1; part <= blocks; part++) hidden = this.block(hidden, `${name}.${part}`);
    return this.linear(this.norm(hidden, `${name}.${blocks + 1}`), `${name}.${blocks + 2}`);
  }

  features(z) {
    const out = [...z];
    const unit = z.map((value) => Math.min(1, Math.max(0, (value + this.reach) / (2 * this.reach))));
    for (const name of this.tables) {
      const { values, shape } = this.weights[name];
      const side = Math.sqrt(shape[0]);
      const place = unit.map((value) => value * (side - 1));
      const corner = place.map((value) => Math.min(side - 2, Math.floor(value)));
      const [right, down] = place.map((value, i) => value - corner[i]);
      const first = corner[0] * side + corner[1];
      const shares = [(1 - right) * (1 - down), (1 - right) * down, right * (1 - down), right * down];
      for (let feature = 0; feature < shape[1]; feature++) {
        let sum = 0;
        [0, 1, side, side + 1].forEach((step, i) => {
          sum += shares[i] * values[(first + step) * shape[1] + feature];
        });
        out.push(sum);
      }
    }
    const finest = Math.sqrt(this.weights[this.tables.at(-1)].shape[0]) - 1;
    const angles = unit.flatMap((value) => Array.from(
      { length: this.waves }, (_, i) => 2 * Math.PI * finest * value * (i + 1),
    ));
    return Float32Array.from([...out, ...angles.map(Math.sin), ...angles.map(Math.cos)]);
  }

  // An image, 784 values in [0, 1], of a latent.
  decode(z) {
    return this.mlp(this.features(z), "decoder.1").map((value) => 1 / (1 + Math.exp(-value)));
  }

  // The mean of the posterior of an image: that of the softmax around the highest score.
  encode(image) {
    const side = this.cells * this.cell;
    const axis = (i) => -this.reach + (2 * this.reach * i) / (side - 1);
    const within = (at, length, all) => Math.min(all - length, Math.max(0, at));
    const hidden = this.mlp(image, "encoder.hidden");
    const cellScores = this.linear(hidden, "encoder.cell_scores");
    const best = argmax(cellScores);
    const margin = (this.near - this.cell) / 2;
    const corner = [Math.floor(best / this.cells), best % this.cells].map(
      (at) => within(this.cell * at - margin, this.near, side),
    );
    const centre = corner.map((at) => (axis(at) + axis(at + this.near - 1)) / 2);
    const guess = this.decode(centre);
    const error = image.map((value, i) => value - guess[i]);
    const seen = Float32Array.from([...hidden, ...error, ...this.features(centre)]);
    const scores = this.mlp(seen, "encoder.point_scores", 1).map((value, i) => {
      const [row, column] = [corner[0] + Math.floor(i / this.near), corner[1] + (i % this.near)];
      return value + cellScores[
        Math.floor(row / this.cell) * this.cells + Math.floor(column / this.cell)
      ];
    });
    const peak = argmax(scores);
    const [top, left] = [Math.floor(peak / this.near), peak % this.near].map(
      (at) => within(at - (this.window >> 1), this.window, this.near),
    );
    let [total, x, y] = [0, 0, 0];
    for (let row = top; row < top + this.window; row++) {
      for (let column = left; column < left + this.window; column++) {
        const share = Math.exp(scores[row * this.near + column] - scores[peak]);
        total += share;
        x += share * axis(corner[0] + row);
        y += share * axis(corner[1] + column);
      }
    }
    return [x / total, y / total];
  }
}

function argmax(values) {
  return values.indexOf(values.reduce((a, b) => Math.max(a, b)));
}

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function unpack(entry) {
  const floats = (text) => new Float32Array(bytes(text).buffer);
  if (entry.floats !== undefined) return { values: floats(entry.floats), shape: entry.shape };
  const buffer = bytes(entry.whole).buffer;
  const whole = entry.bits === 8 ? new Int8Array(buffer) : new Int16Array(buffer);
  const scale = floats(entry.scale);
  const columns = entry.shape[1];
  const values = Float32Array.from(whole, (value, at) => value * scale[Math.floor(at / columns)]);
  return { values, shape: entry.shape };
}

// The posterior of each class at a latent, by the mixture.
function classProbabilities({ weights, means, covariances, labels }, z) {
  const logs = weights.map((weight, k) => {
    const [[a, b], [, d]] = covariances[k];
    const determinant = a * d - b * b;
    const [u, v] = [z[0] - means[k][0], z[1] - means[k][1]];
    const distance = (d * u * u - 2 * b * u * v + a * v * v) / determinant;
    return Math.log(weight) - 0.5 * (Math.log(determinant) + distance);
  });
  const most = Math.max(...logs);
  const shares = logs.map((value) => Math.exp(value - most));
  const total = shares.reduce((sum, value) => sum + value);
  const found = {};
  labels.forEach((label, k) => { found[label] = (found[label] ?? 0) + shares[k] / total; });
  return found;
}

// A drawing as MNIST has its digits: 20 pixels long, its centre of mass in the middle.
function asDigit(pad) {
  const { width, height } = pad;
  const { data } = contextOf(pad).getImageData(0, 0, width, height);
  let [left, right, top, bottom] = [width, -1, height, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[4 * (y * width + x)] > 20) {
        left = Math.min(left, x); right = Math.max(right, x);
        top = Math.min(top, y); bottom = Math.max(bottom, y);
      }
    }
  }
  if (right < 0) return null;
  const scale = 20 / Math.max(right - left + 1, bottom - top + 1);
  const draw = (dx, dy) => {
    const small = Object.assign(document.createElement("canvas"), { width: 28, height: 28 });
    const context = contextOf(small);
    context.imageSmoothingQuality = "high";
    const [w, h] = [right - left + 1, bottom - top + 1];
    context.drawImage(pad, left, top, w, h, 14 - (w * scale) / 2 + dx, 14 - (h * scale) / 2 + dy,
      w * scale, h * scale);
    const pixels = context.getImageData(0, 0, 28, 28).data;
    return Float32Array.from({ length: 784 }, (_, i) => pixels[4 * i] / 255);
  };
  const rough = draw(0, 0);
  let [mass, x, y] = [0, 0, 0];
  rough.forEach((value, i) => {
    mass += value; x += value * ((i % 28) + 0.5); y += value * (Math.floor(i / 28) + 0.5);
  });
  return draw(14 - x / mass, 14 - y / mass);
}

function contextOf(canvas) {
  return canvas.getContext("2d", { willReadFrequently: true });
}

function paint(canvas, images) {
  const columns = images.length;
  const pixels = new ImageData(28 * columns, 28);
  images.forEach((image, column) => {
    for (let i = 0; i < 784; i++) {
      const at = 4 * (Math.floor(i / 28) * 28 * columns + 28 * column + (i % 28));
      pixels.data.fill(Math.round(255 * image[i]), at, at + 3);
      pixels.data[at + 3] = 255;
    }
  });
  contextOf(canvas).putImageData(pixels, 0, 0);
}

const explorer = (() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const { points, mixture } = data;
  const network = new Network(data.network, data.sizes);
  const pixels = bytes(points.pixels);
  const image = (i) => Float32Array.from(pixels.subarray(784 * i, 784 * (i + 1)), (v) => v / 255);
  let shown = points.z.map((_, i) => i);
  let cursor = [0, 0];
  let from = null;

  const source = (name) => Bokeh.documents[0].get_model_by_id(data.sources[name]);
  const put = (name, places) => {
    source(name).data = { x: places.map(([x]) => x), y: places.map(([, y]) => y) };
  };

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

  function likeliest(z) {
    return Object.entries(classProbabilities(mixture, z)).reduce((a, b) => (b[1] > a[1] ? b : a))[0];
  }

  function move(x, y) {
    cursor = [x, y];
    paint(find("here"), [network.decode(cursor)]);
    find("place").textContent = `z = (${x.toFixed(2)}, ${y.toFixed(2)})`;
    tabulate(find("probabilities"), cursor);
    const near = nearest(x, y);
    if (near !== null && Math.hypot(points.z[near][0] - x, points.z[near][1] - y) < 0.06) tell(near);
  }

  function nearest(x, y) {
    let [best, least] = [null, Infinity];
    for (const i of shown) {
      const distance = Math.hypot(points.z[i][0] - x, points.z[i][1] - y);
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  function tell(i) {
    paint(find("image"), [image(i)]);
    paint(find("recon"), [network.decode(points.drawn_at[i])]);
    const label = points.label[i] === null ? "" : `, labelled ${points.label[i]}`;
    find("about").textContent =
      `${points.set[i]} image ${i + 1}${label}: classified ${points.predicted[i]}, ` +
      `SSIM ${points.ssim[i].toFixed(3)}`;
    tabulate(find("posterior"), points.z[i]);
  }

  function tap(x, y) {
    move(x, y);
    put("marks", [[x, y]]);
    const near = nearest(x, y);
    if (near !== null) tell(near);
  }

  function start(x, y) { from = [x, y]; }

  function between(x, y) {
    put("line", [from, [x, y]]);
    const steps = Array.from({ length: 11 }, (_, i) => i / 10);
    const places = steps.map((t) => [from[0] + t * (x - from[0]), from[1] + t * (y - from[1])]);
    paint(find("strip"), places.map((z) => network.decode(z)));
    find("between").textContent = places.map(likeliest).join(" ");
  }

  function drag(x, y) {
    if (from === null) return;
    move(x, y);
    between(x, y);
  }

  function end(x, y) {
    drag(x, y);
    from = null;
  }

  function filter() {
    const [own, which] = [find("class").value, find("which").value];
    const truth = (i) => points.label[i] ?? points.predicted[i];
    shown = points.z.map((_, i) => i).filter((i) => own === "" || String(truth(i)) === own);
    if (which === "wrong") {
      shown = shown.filter((i) => points.label[i] !== null && points.label[i] !== points.predicted[i]);
    } else if (which === "worst") {
      shown = shown.sort((a, b) => points.ssim[a] - points.ssim[b]).slice(0, 50);
    } else if (which === "validation") {
      shown = shown.filter((i) => points.set[i] === "validation");
    }
    source("shown").data = {
      x: shown.map((i) => points.z[i][0]),
      y: shown.map((i) => points.z[i][1]),
      colour: shown.map((i) => data.colours[points.predicted[i]]),
    };
    find("count").textContent = `${shown.length} images`;
  }

  function key(event) {
    const step = event.shiftKey ? 0.5 : 0.1;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key === "Enter") {
      tap(...cursor);
    } else if (event.key in steps) {
      const most = 1.1 * network.reach;
      const [x, y] = cursor.map(
        (value, i) => Math.min(most, Math.max(-most, value + step * steps[event.key][i])),
      );
      move(x, y);
      put("marks", [cursor]);
    } else {
      return;
    }
    event.preventDefault();
  }

  function prepare(pad) {
    const context = contextOf(pad);
    const clear = () => {
      context.fillStyle = "black";
      context.fillRect(0, 0, pad.width, pad.height);
      for (const id of ["taken", "redrawn"]) paint(find(id), [new Float32Array(784)]);
      find("verdict").textContent = "";
      find("drawn_posterior").replaceChildren();
    };
    const place = (event) => {
      const box = pad.getBoundingClientRect();
      return [(event.clientX - box.left) * pad.width / box.width, (event.clientY - box.top) * pad.height / box.height];
    };
    let last = null;
    const stroke = (event) => {
      if (last === null) return;
      const next = place(event);
      Object.assign(context, { strokeStyle: "white", lineWidth: 16, lineCap: "round" });
      context.beginPath();
      context.moveTo(...last);
      context.lineTo(...next);
      context.stroke();
      last = next;
    };
    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      last = place(event);
      stroke(event);
    });
    pad.addEventListener("pointermove", stroke);
    pad.addEventListener("pointerup", () => {
      last = null;
      const digit = asDigit(pad);
      if (digit === null) return;
      const z = network.encode(digit);
      paint(find("taken"), [digit]);
      paint(find("redrawn"), [network.decode(z)]);
      put("drawn", [z]);
      find("verdict").textContent = `at (${z[0].toFixed(2)}, ${z[1].toFixed(2)}): a ${likeliest(z)}`;
      tabulate(find("drawn_posterior"), z);
    });
    find("clear").addEventListener("click", () => { clear(); put("drawn", []); });
    clear();
  }

  find("class").addEventListener("change", filter);
  find("which").addEventListener("change", filter);
  find("plane").addEventListener("keydown", key);
  prepare(find("pad"));
  paint(find("strip"), Array.from({ length: 11 }, () => new Float32Array(784)));
  find("count").textContent = `${shown.length} images`;
  move(0, 0);
  tell(0);
  return { move, tap, start, drag, end, network, cursor: () => cursor, classProbabilities: (z) => classProbabilities(mixture, z) };
})();
