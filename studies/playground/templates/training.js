"use strict";

// The training of a network on batches of the digits, and what is measured of it.

const BATCH = 50;

// Kingma and Ba, "Adam" (2015), algorithm 1, with PyTorch's defaults.
class Adam {
  constructor(layers) {
    this.steps = 0;
    this.parameters = layers.flatMap((layer) => ["weight", "bias"].map((name) => ({
      values: layer[name],
      gradient: () => layer[`${name}Gradient`],
      mean: new Float64Array(layer[name].length),
      square: new Float64Array(layer[name].length),
    })));
  }

  step(rate) {
    this.steps += 1;
    const meanBias = 1 - 0.9 ** this.steps;
    const squareBias = 1 - 0.999 ** this.steps;
    for (const { values, gradient, mean, square } of this.parameters) {
      const slopes = gradient();
      for (let i = 0; i < values.length; i++) {
        mean[i] = 0.9 * mean[i] + 0.1 * slopes[i];
        square[i] = 0.999 * square[i] + 0.001 * slopes[i] ** 2;
        values[i] -= (rate * mean[i]) / meanBias / (Math.sqrt(square[i] / squareBias) + 1e-8);
      }
    }
  }
}

// The images (N, 64) and labels (N) with these indices.
function pick({ images, labels }, indices) {
  const x = new Float64Array(indices.length * PIXELS);
  indices.forEach((index, row) => {
    x.set(images.subarray(index * PIXELS, (index + 1) * PIXELS), row * PIXELS);
  });
  return { images: x, labels: indices.map((index) => labels[index]) };
}

// One setting's training. The same settings and steps give the same network: nothing that is drawn
// or measured takes numbers from its generator.
class Training {
  constructor(settings, data) {
    this.settings = settings; // beta, loss and rate may change between steps
    this.data = data;
    this.random = new Random(settings.seed);
    this.network = new Network(settings, this.random);
    this.adam = new Adam(this.network.layers);
    this.noise = new Random(0).normals(data.heldOut.labels.length * settings.latents);
    this.batches = [];
    this.sums = { reconstruction: 0, kl: 0, batches: 0 };
    this.history = []; // of epochs
    this.diverged = false;
    this.record(null);
  }

  get steps() {
    return this.adam.steps;
  }

  // Train on one batch.
  step() {
    if (this.diverged) return;
    if (this.batches.length === 0) this.startEpoch();
    const { images, labels } = pick(this.data.train, this.batches.shift());
    const noise = this.random.normals(labels.length * this.network.latents);
    const terms = this.network.backpropagate(images, labels, noise, this.settings);
    this.adam.step(this.settings.rate);
    this.diverged = !Number.isFinite(terms.reconstruction + terms.kl);
    this.sums.reconstruction += terms.reconstruction;
    this.sums.kl += terms.kl;
    this.sums.batches += 1;
    if (this.batches.length === 0) this.endEpoch();
  }

  startEpoch() {
    const order = this.random.permutation(this.data.train.labels.length);
    while (order.length > 0) this.batches.push(order.splice(0, BATCH));
  }

  endEpoch() {
    const { reconstruction, kl, batches } = this.sums;
    this.record({ reconstruction: reconstruction / batches, kl: kl / batches });
    this.sums = { reconstruction: 0, kl: 0, batches: 0 };
  }

  // Keep the terms of an epoch: their mean over its batches, and those of the held-out images.
  record(train) {
    const { images, labels } = this.data.heldOut;
    const code = this.network.encode(images, labels);
    const decoded = this.network.decode(this.network.reparameterize(code, this.noise), labels);
    const heldOut = this.network.terms(images, code, decoded, this.settings.loss);
    this.history.push({ train, heldOut });
  }

  // The posteriors of the held-out images.
  posteriors() {
    return this.network.encode(this.data.heldOut.images, this.data.heldOut.labels);
  }
}

// The mean over images of each unit's KL in nats, and the variance of its mu, which says how active
// the unit is: Burda, Grosse and Salakhutdinov (2016), section 5.2.
function unitMeasures({ mu, logvar }, latents) {
  const rows = mu.length / latents;
  return Array.from({ length: latents }, (_, unit) => {
    let [sum, squares, kl] = [0, 0, 0];
    for (let at = unit; at < mu.length; at += latents) {
      sum += mu[at];
      squares += mu[at] ** 2;
      if (logvar) kl += unitKl(mu[at], logvar[at]);
    }
    return { kl: kl / rows, activity: squares / rows - (sum / rows) ** 2 };
  });
}
