"use strict";

// The network of models.py, as inference runs it: one image, one latent at a time.
class Network {
  constructor(packed, sizes) {
    Object.assign(this, sizes);
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

  // The posterior of an image: mean and variance of the softmax around the highest score.
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
    const places = [];
    let total = 0;
    for (let row = top; row < top + this.window; row++) {
      for (let column = left; column < left + this.window; column++) {
        const share = Math.exp(scores[row * this.near + column] - scores[peak]);
        total += share;
        places.push({ share, z: [axis(corner[0] + row), axis(corner[1] + column)] });
      }
    }
    const mean = (value) => places.reduce((sum, { share, z }) => sum + share * value(z), 0) / total;
    const mu = [0, 1].map((i) => mean((z) => z[i]));
    const logvar = [0, 1].map((i) => Math.log(mean((z) => (z[i] - mu[i]) ** 2) + this.leastVariance));
    return { mu, logvar };
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
