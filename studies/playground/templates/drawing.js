"use strict";

// The pictures: numbers in, strokes on a canvas. Colours are the page's own, light or dark.

const SIDE = 8; // pixels of an image's side
const ENLARGED = 6;

// A canvas cleared at the resolution of the screen: its context, its width and height in CSS pixels,
// and a function that returns a colour by its name in the style sheet.
function prepare(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = window.devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = "11px system-ui, sans-serif";
  const style = getComputedStyle(canvas);
  return { context, width, height, colour: (name) => style.getPropertyValue(`--${name}`).trim() };
}

// Rows of grey images, (rows * across, 64) in [0, 1], with transparent pixels between them. They are
// drawn `ENLARGED` times as large, so that the browser's scaling leaves all pixels alike.
function drawImages(canvas, images, across) {
  const down = images.length / PIXELS / across;
  const small = document.createElement("canvas");
  small.width = across * (SIDE + 1) - 1;
  small.height = down * (SIDE + 1) - 1;
  const context = small.getContext("2d");
  for (let i = 0; i < across * down; i++) {
    const tile = context.createImageData(SIDE, SIDE);
    for (let at = 0; at < PIXELS; at++) {
      tile.data.fill(Math.round(255 * images[i * PIXELS + at]), 4 * at, 4 * at + 3);
      tile.data[4 * at + 3] = 255;
    }
    context.putImageData(tile, (i % across) * (SIDE + 1), Math.floor(i / across) * (SIDE + 1));
  }
  canvas.width = ENLARGED * small.width;
  canvas.height = ENLARGED * small.height;
  const large = canvas.getContext("2d");
  large.imageSmoothingEnabled = false;
  large.drawImage(small, 0, 0, canvas.width, canvas.height);
}

// Posteriors in the plane of two units (x, y): an ellipse of one standard deviation around each mu,
// and on mu a disc with the digit. Dashed: one and two standard deviations of the prior. The axes
// go from -reach to reach.
function drawPlane(canvas, { mu, logvar, labels, latents, x, y, reach }) {
  const { context, width, colour } = prepare(canvas);
  const scale = width / 2 / reach; // of a square canvas
  const place = (row) => [
    (mu[row * latents + x] + reach) * scale,
    (reach - mu[row * latents + y]) * scale,
  ];
  const deviation = (row, unit) => scale * Math.exp(logvar[row * latents + unit] / 2);
  drawPrior(context, width, scale, colour);
  context.globalAlpha = 0.55;
  if (logvar) {
    labels.forEach((label, row) => {
      context.beginPath();
      context.ellipse(...place(row), deviation(row, x), deviation(row, y), 0, 0, 2 * Math.PI);
      context.strokeStyle = colour(`class-${label}`);
      context.stroke();
    });
  }
  context.globalAlpha = 1;
  const radius = Math.max(4, Math.min(7, width / 55));
  labels.forEach((label, row) => drawMark(context, ...place(row), radius, label, colour));
  drawEnds(context, width, reach, [x, y].map((unit) => `z${unit + 1}`), colour);
}

// The frame, the lines through 0, and the circles of the prior.
function drawPrior(context, width, scale, colour) {
  const middle = width / 2;
  context.strokeStyle = colour("line");
  context.strokeRect(0.5, 0.5, width - 1, width - 1);
  context.strokeRect(middle, -1, width, width + 2);
  context.strokeRect(-1, middle, width + 2, width);
  context.strokeStyle = colour("ink");
  context.setLineDash([4, 4]);
  for (const radius of [1, 2]) {
    context.beginPath();
    context.arc(middle, middle, radius * scale, 0, 2 * Math.PI);
    context.stroke();
  }
  context.setLineDash([]);
}

function drawMark(context, x, y, radius, label, colour) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = colour(`class-${label}`);
  context.fill();
  context.strokeStyle = colour("panel");
  context.stroke();
  context.font = `bold ${1.7 * radius}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.fillStyle = colour(`on-class-${label}`);
  context.fillText(label, x, y + 0.6 * radius);
}

// The numbers at the ends of the axes of a square plane, legible over what is there.
function drawEnds(context, width, reach, [across, up], colour) {
  const write = (text, align, x, y) => {
    context.font = "12px system-ui, sans-serif";
    context.textAlign = align;
    context.strokeStyle = colour("panel");
    context.lineWidth = 4;
    context.strokeText(text, x, y);
    context.fillStyle = colour("ink");
    context.fillText(text, x, y);
  };
  write(`${across} = ${reach}`, "right", width - 4, width - 6);
  write(`${up} = ${reach}`, "left", 4, 15);
  write(`-${reach}`, "left", 4, width - 6);
}

// A term of the loss by epoch: solid for training, dashed for held-out images. The vertical axis
// goes from `bottom`, the least value that there can be, to `top`.
function drawCurve(canvas, history, term, { bottom, top }) {
  const { context, width, height, colour } = prepare(canvas);
  const [left, low, high] = [36, height - 18, 8];
  const last = Math.max(1, history.length - 1);
  const right = (epoch) => left + (epoch / last) * (width - left - 8);
  const up = (value) => low - ((value - bottom) / (top - bottom || 1)) * (low - high);
  context.strokeStyle = colour("line");
  context.strokeRect(left - 0.5, high - 0.5, width - left - 7, low - high);
  context.fillStyle = colour("muted");
  context.textAlign = "right";
  context.fillText(shortNumber(top), left - 4, high + 8);
  context.fillText(shortNumber(bottom), left - 4, low);
  context.fillText(`epoch ${last}`, width - 8, height - 4);
  context.textAlign = "left";
  context.fillText("0", left, height - 4);
  context.beginPath();
  context.rect(left, high - 1, width, low - high + 2);
  context.clip();
  for (const [which, dash, name] of [["train", [], "accent"], ["heldOut", [5, 4], "ink"]]) {
    context.beginPath();
    context.setLineDash(dash);
    context.strokeStyle = colour(name);
    context.lineWidth = 2;
    history.forEach((epoch, i) => {
      if (epoch[which]) context.lineTo(right(i), up(epoch[which][term]));
    });
    context.stroke();
  }
}

// The KL of each unit, as bars.
function drawUnits(canvas, kls) {
  const { context, width, height, colour } = prepare(canvas);
  const top = Math.max(0.1, ...kls);
  const [left, low, high] = [36, height - 18, 8];
  const pitch = (width - left - 8) / kls.length;
  const bar = Math.min(40, 0.7 * pitch);
  context.fillStyle = colour("muted");
  context.textAlign = "right";
  context.fillText(shortNumber(top), left - 4, high + 8);
  context.fillText("0", left - 4, low);
  context.textAlign = "center";
  kls.forEach((kl, unit) => {
    const middle = left + (unit + 0.5) * pitch;
    context.fillStyle = colour("accent");
    context.fillRect(middle - bar / 2, low, bar, -(kl / top) * (low - high));
    context.fillStyle = colour("muted");
    if (pitch > 16 || unit % 4 === 0) context.fillText(unit + 1, middle, height - 4);
  });
  context.strokeStyle = colour("line");
  context.strokeRect(left - 0.5, high - 0.5, width - left - 7, low - high);
}

const shortNumber = (value) => (value >= 10 ? value.toFixed(1) : value.toFixed(2));
