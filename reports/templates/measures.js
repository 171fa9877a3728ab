"use strict";

// What losses.py, figures.py and gmm.py compute of one image, one posterior or one latent.

const SSIM_WINDOW = 7;

// The KL of a posterior to the standard normal, in nats.
function klDivergence({ mu, logvar }) {
  return mu.reduce((sum, m, i) => sum + 0.5 * (m * m + Math.exp(logvar[i]) - 1 - logvar[i]), 0);
}

// The squared error of a reconstruction, a mean over pixels.
function meanSquaredError(recon, image) {
  return recon.reduce((sum, value, i) => sum + (value - image[i]) ** 2, 0) / image.length;
}

// The structural similarity, a mean over all windows inside the image.
function structuralSimilarity(recon, image) {
  const [side, pixels] = [28, SSIM_WINDOW ** 2];
  const last = side - SSIM_WINDOW;
  const [c1, c2, correction] = [0.01 ** 2, 0.03 ** 2, pixels / (pixels - 1)];
  let total = 0;
  for (let top = 0; top <= last; top++) {
    for (let left = 0; left <= last; left++) {
      let [x, y, xx, yy, xy] = [0, 0, 0, 0, 0];
      for (let row = top; row < top + SSIM_WINDOW; row++) {
        for (let at = row * side + left; at < row * side + left + SSIM_WINDOW; at++) {
          const [a, b] = [recon[at], image[at]];
          x += a / pixels; y += b / pixels;
          xx += a * a / pixels; yy += b * b / pixels; xy += a * b / pixels;
        }
      }
      const variances = correction * (xx - x * x + yy - y * y);
      const covariance = correction * (xy - x * y);
      total += ((2 * x * y + c1) * (2 * covariance + c2)) / ((x * x + y * y + c1) * (variances + c2));
    }
  }
  return total / (last + 1) ** 2;
}

// The reparameterisation: latents of a posterior from draws of a standard normal.
function drawLatents({ mu, logvar }, draws) {
  return draws.map((draw) => draw.map((epsilon, i) => mu[i] + Math.exp(logvar[i] / 2) * epsilon));
}

// The points at so many standard deviations from the mean of a Gaussian.
function ring(mean, [[a, b], [, d]], deviations) {
  const first = Math.sqrt(a);
  const second = Math.sqrt(d - (b / first) ** 2);
  return Array.from({ length: 73 }, (_, i) => {
    const [cos, sin] = [Math.cos, Math.sin].map((f) => deviations * f((Math.PI * i) / 36));
    return [mean[0] + first * cos, mean[1] + (b / first) * cos + second * sin];
  });
}

function posteriorRing({ mu, logvar }, deviations) {
  return ring(mu, [[Math.exp(logvar[0]), 0], [0, Math.exp(logvar[1])]], deviations);
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

function likeliest(mixture, z) {
  return Object.entries(classProbabilities(mixture, z)).reduce((a, b) => (b[1] > a[1] ? b : a))[0];
}
