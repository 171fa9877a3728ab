"use strict";

// What a lecturer may show: settings a and, to compare, b; and what to look for.

const LESSONS = [
  {
    name: "start",
    title: "A VAE learns a plane of digits",
    look: "Reconstructions turn from a blur into digits. At first every ellipse is the dashed circle of the prior and the KL "
      + "is almost 0; then the ellipses shrink and move apart, and the KL rises: that is the price of telling images apart.",
    a: {},
  },
  {
    name: "holes",
    title: "An autoencoder has holes",
    look: "A is an autoencoder, B a VAE. Nothing holds the codes of A near 0: read the numbers on its axes. Its samples are "
      + "decoded from where a VAE's prior is, whatever lies there: some digits never come. B draws all kinds.",
    a: { model: "ae" },
    b: {},
  },
  {
    name: "zero",
    title: "Turn beta to 0 and sample",
    look: "Without the weight of the KL, A shrinks its ellipses to points and moves them away from the prior, so its KL grows. "
      + "Compare the samples: those of A come from a small part of its plane. Then raise the beta of A while it trains.",
    a: { beta: "0" },
    b: {},
  },
  {
    name: "twenty",
    title: "Turn beta to 20: collapse",
    look: "In B no detail of an image is worth its KL: every ellipse becomes the circle of the prior, the KL falls to 0, and all "
      + "ten reconstructions are the same mean image. Then lower the beta of B while it trains: it recovers.",
    a: {},
    b: { beta: "20" },
  },
  {
    name: "class",
    title: "Give the decoder the class",
    look: "B is told which digit it is. Its plane need not say it again, so digits mix there and the KL is lower. In its samples "
      + "each column is a digit and each row is a code: slant and width stay the same along a row.",
    a: {},
    b: { classes: "1" },
  },
  {
    name: "clusters",
    title: "Why a VAE ignores clusters",
    look: "No label enters the loss, and the prior is a single Gaussian without gaps. With more weight on the KL, B pushes its "
      + "digits into one round cloud where they overlap. Look in its decoded plane for images between two digits.",
    a: { beta: "0.05" },
    b: { beta: "2" },
  },
  {
    name: "unused",
    title: "More latents than it uses",
    look: "Both have 16 units. With beta 1 most units of B stay at the prior: their KL is 0, and the decoder ignores them. "
      + "A smaller beta in A pays for more units. The planes show the two most active ones.",
    a: { latents: "16", beta: "0.1" },
    b: { latents: "16", beta: "1" },
  },
  {
    name: "losses",
    title: "BCE or MSE?",
    look: "Both have beta 1. Squared errors of grey levels are small numbers, so for B the same KL costs relatively more: it pays "
      + "for less and its digits are more blurred. Set the beta of B to 0.1: now they are alike.",
    a: { beta: "1" },
    b: { beta: "1", loss: "mse" },
  },
  {
    name: "rate",
    title: "A learning rate that is too high",
    look: "A takes small steps and learns slowly. The steps of B are so large that its curves jump and do not come down.",
    a: { rate: "0.001" },
    b: { rate: "0.1" },
  },
  {
    name: "seeds",
    title: "The same setting, another seed",
    look: "Only the random numbers differ. The losses are nearly equal, but digits have other places: the plane may turn, flip "
      + "and rearrange at no cost. So a difference between two runs means little if it is no larger than this one.",
    a: {},
    b: { seed: "2" },
  },
];
