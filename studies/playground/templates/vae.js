"use strict";

// The variational autoencoder, its loss and its gradients: Kingma and Welling, "Auto-Encoding
// Variational Bayes" (2014). A batch of B images is a matrix (B, 64) of grey values in [0, 1].

const PIXELS = 64;
const CLASSES = 10;

// y = x W' + b, with W as PyTorch has it: (outputs, inputs).
class Linear {
  constructor(inputs, outputs, random) {
    const bound = 1 / Math.sqrt(inputs); // as PyTorch starts a linear layer
    const start = () => bound * (2 * random.uniform() - 1);
    this.inputs = inputs;
    this.outputs = outputs;
    this.weight = Float64Array.from({ length: outputs * inputs }, start);
    this.bias = Float64Array.from({ length: outputs }, start);
  }

  forward(x) {
    const { inputs, outputs, bias } = this;
    const y = product(x, this.weight, inputs);
    for (let at = 0; at < y.length;) {
      for (let j = 0; j < outputs; j++) y[at++] += bias[j];
    }
    return y;
  }

  // Keeps dL/dW = dy' x and dL/db, the sum of the rows of dy. Returns dL/dx = dy W.
  backward(x, dy) {
    const { inputs, outputs, weight } = this;
    const rows = x.length / inputs;
    this.weightGradient = product(transposed(dy, outputs), transposed(x, inputs), rows);
    this.biasGradient = new Float64Array(outputs);
    for (let at = 0; at < dy.length;) {
      for (let j = 0; j < outputs; j++) this.biasGradient[j] += dy[at++];
    }
    return product(dy, transposed(weight, inputs), outputs);
  }
}

// Linear layers with tanh between them.
class Mlp {
  constructor(sizes, random) {
    this.layers = sizes.slice(1).map((size, i) => new Linear(sizes[i], size, random));
  }

  // Returns the input of each layer, then the output of the last.
  forward(x) {
    const values = [x];
    this.layers.forEach((layer, i) => {
      const y = layer.forward(values[i]);
      if (i < this.layers.length - 1) {
        for (let at = 0; at < y.length; at++) y[at] = Math.tanh(y[at]);
      }
      values.push(y);
    });
    return values;
  }

  // `values`: what `forward` returned. Returns dL/dx; the derivative of tanh is 1 - tanh^2.
  backward(values, dy) {
    return this.layers.reduceRight((gradient, layer, i) => {
      const y = values[i + 1];
      if (i < this.layers.length - 1) {
        for (let at = 0; at < y.length; at++) gradient[at] *= 1 - y[at] ** 2;
      }
      return layer.backward(values[i], gradient);
    }, dy);
  }
}

// The reconstruction terms of a pixel x, from the logit a or from p = sigmoid(a), and their
// derivatives by a.
const RECONSTRUCTION = {
  // -x log p - (1 - x) log(1 - p), written so that it never overflows
  bce: {
    term: (a, p, x) => Math.max(a, 0) - a * x + Math.log1p(Math.exp(-Math.abs(a))),
    derivative: (p, x) => p - x,
  },
  mse: {
    term: (a, p, x) => (p - x) ** 2,
    derivative: (p, x) => 2 * (p - x) * p * (1 - p),
  },
};

// KL(N(mu, exp(logvar)) || N(0, 1)) of one unit, in nats: Kingma and Welling, appendix B.
const unitKl = (mu, logvar) => 0.5 * (mu ** 2 + Math.exp(logvar) - 1 - logvar);

// The unit vectors of classes: (B, 10).
function oneHot(labels) {
  const out = new Float64Array(labels.length * CLASSES);
  labels.forEach((label, row) => { out[row * CLASSES + label] = 1; });
  return out;
}

// A VAE, or (`model` "ae") an autoencoder: its code is mu alone, and its loss has no KL. With
// `classes`, encoder and decoder also get the class: Sohn, Lee and Yan (2015).
class Network {
  constructor({ model, latents, width, classes }, random) {
    const condition = classes ? CLASSES : 0;
    Object.assign(this, { latents, classes, variational: model === "vae" });
    const codes = this.variational ? 2 * latents : latents; // mu, then logvar
    this.encoder = new Mlp([PIXELS + condition, width, width, codes], random);
    this.decoder = new Mlp([latents + condition, width, width, PIXELS], random);
  }

  get layers() {
    return [...this.encoder.layers, ...this.decoder.layers];
  }

  given(x, n, labels) {
    return this.classes ? joined(x, n, oneHot(labels), CLASSES) : x;
  }

  // The posterior of each image, q(z|x) = N(mu, exp(logvar)): (B, latents) each.
  encode(x, labels) {
    const { latents, variational } = this;
    const values = this.encoder.forward(this.given(x, PIXELS, labels));
    if (!variational) return { values, mu: values.at(-1), logvar: null };
    const mu = columns(values.at(-1), 2 * latents, 0, latents);
    const logvar = columns(values.at(-1), 2 * latents, latents, 2 * latents);
    return { values, mu, logvar };
  }

  // z = mu + exp(logvar / 2) noise: the reparameterisation, section 2.4.
  reparameterize({ mu, logvar }, noise) {
    return logvar ? mu.map((value, at) => value + Math.exp(logvar[at] / 2) * noise[at]) : mu;
  }

  decode(z, labels) {
    const values = this.decoder.forward(this.given(z, this.latents, labels));
    return { values, logits: values.at(-1), pixels: values.at(-1).map((a) => 1 / (1 + Math.exp(-a))) };
  }

  // The two terms, summed over an image and averaged over the batch.
  terms(x, { mu, logvar }, { logits, pixels }, loss) {
    const { term } = RECONSTRUCTION[loss];
    const error = logits.reduce((sum, a, at) => sum + term(a, pixels[at], x[at]), 0);
    const kl = logvar ? mu.reduce((sum, value, at) => sum + unitKl(value, logvar[at]), 0) : 0;
    const rows = x.length / PIXELS;
    return { reconstruction: error / rows, kl: kl / rows };
  }

  // Keeps the gradients of reconstruction + beta KL in the layers, and returns the two terms.
  // `noise`: draws from N(0, 1), (B, latents).
  backpropagate(x, labels, noise, { beta, loss }) {
    const rows = x.length / PIXELS;
    const code = this.encode(x, labels);
    const decoded = this.decode(this.reparameterize(code, noise), labels);

    const { derivative } = RECONSTRUCTION[loss];
    const dLogits = decoded.pixels.map((p, at) => derivative(p, x[at]) / rows);
    const dInput = this.decoder.backward(decoded.values, dLogits);
    const dz = columns(dInput, dInput.length / rows, 0, this.latents);
    this.encoder.backward(code.values, this.codeGradient(code, dz, noise, beta / rows));
    return this.terms(x, code, decoded, loss);
  }

  // The derivatives by mu and logvar, side by side: through z, and `weight` times those of the KL.
  codeGradient({ mu, logvar }, dz, noise, weight) {
    if (!this.variational) return dz;
    const dMu = dz.map((value, at) => value + weight * mu[at]);
    const dLogvar = dz.map((value, at) => {
      const throughZ = value * noise[at] * 0.5 * Math.exp(logvar[at] / 2);
      return throughZ + weight * 0.5 * (Math.exp(logvar[at]) - 1);
    });
    return joined(dMu, this.latents, dLogvar, this.latents);
  }
}
