"use strict";

// A view of the latent plane on a canvas: a square around `centre`, `half` to each side.

// The outlines of the markers of classes, in the order of figures.py; the first is a circle.
const OUTLINES = [
  null,
  [[-1, -1], [1, -1], [1, 1], [-1, 1]],
  [[0, -1.2], [1.2, 1], [-1.2, 1]],
  [[0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]],
  [[0, 1.2], [1.2, -1], [-1.2, -1]],
  [[-0.4, -1.3], [0.4, -1.3], [0.4, -0.4], [1.3, -0.4], [1.3, 0.4], [0.4, 0.4], [0.4, 1.3], [-0.4, 1.3],
    [-0.4, 0.4], [-1.3, 0.4], [-1.3, -0.4], [-0.4, -0.4]],
  [[0, -0.6], [0.8, -1.3], [1.3, -0.8], [0.6, 0], [1.3, 0.8], [0.8, 1.3], [0, 0.6], [-0.8, 1.3],
    [-1.3, 0.8], [-0.6, 0], [-1.3, -0.8], [-0.8, -1.3]],
  [[0, -1.5], [0.4, -0.4], [1.5, -0.4], [0.6, 0.3], [1, 1.4], [0, 0.7], [-1, 1.4], [-0.6, 0.3],
    [-1.5, -0.4], [-0.4, -0.4]],
  [[-1.2, 0], [1, -1.2], [1, 1.2]],
  [[1.2, 0], [-1, -1.2], [-1, 1.2]],
];

class Plane {
  constructor(canvas, half) {
    Object.assign(this, { canvas, half, whole: half, centre: [0, 0] });
  }

  // Where a latent is on the canvas, in CSS pixels.
  at([x, y]) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const [u, v] = [(x - this.centre[0]) / this.half, (y - this.centre[1]) / this.half];
    return [(width / 2) * (1 + u), (height / 2) * (1 - v)];
  }

  // The latent under a pointer.
  under(event) {
    const box = this.canvas.getBoundingClientRect();
    const u = (2 * (event.clientX - box.left)) / box.width - 1;
    const v = 1 - (2 * (event.clientY - box.top)) / box.height;
    return [this.centre[0] + u * this.half, this.centre[1] + v * this.half];
  }

  holds(z) {
    return z.every((value, i) => Math.abs(value - this.centre[i]) <= this.half);
  }

  // Show a smaller or a larger part, around a latent, but nothing beyond the whole plane.
  zoom(factor, centre) {
    this.half = Math.min(this.whole, Math.max(0.05, this.half * factor));
    const room = this.whole - this.half;
    this.centre = centre.map((value) => Math.min(room, Math.max(-room, value)));
  }

  // Draw what there is: points of classes, rings, a line, and marks.
  draw({ points = [], rings = [], names = [], line = [], marks = [] }) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = window.devicePixelRatio;
    [this.canvas.width, this.canvas.height] = [width * scale, height * scale].map(Math.round);
    const context = this.canvas.getContext("2d");
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    context.scale(scale, scale);
    context.font = "12px system-ui, sans-serif";
    this.ticks(context, colour, width, height);
    context.globalAlpha = Number(colour("opacity"));
    for (const { z, kind } of points) this.marker(context, z, kind, 3, colour(`class-${kind}`));
    context.globalAlpha = 1;
    for (const { places, name } of rings) this.path(context, places, colour(name), 1.5);
    context.setLineDash([6, 4]);
    this.path(context, line, colour("ink"), 2);
    context.setLineDash([]);
    context.font = "bold 15px system-ui, sans-serif";
    Object.assign(context, { textAlign: "center", lineWidth: 4, strokeStyle: colour("paper"), fillStyle: colour("ink") });
    for (const { z, text } of names) {
      context.strokeText(text, ...this.at(z));
      context.fillText(text, ...this.at(z));
    }
    for (const { z, shape, name } of marks) this.mark(context, this.at(z), shape, colour(name), colour("paper"));
  }

  path(context, places, colour, width) {
    context.beginPath();
    for (const place of places) context.lineTo(...this.at(place));
    Object.assign(context, { strokeStyle: colour, lineWidth: width });
    context.stroke();
  }

  marker(context, z, kind, size, colour) {
    const [x, y] = this.at(z);
    context.beginPath();
    if (OUTLINES[kind] === null) context.arc(x, y, size, 0, 2 * Math.PI);
    else for (const [u, v] of OUTLINES[kind]) context.lineTo(x + size * u, y + size * v);
    context.fillStyle = colour;
    context.fill();
  }

  // A cross or a ring or a dot, with a margin that keeps it apart from what is below.
  mark(context, [x, y], shape, colour, margin) {
    for (const [strokeStyle, lineWidth] of [[margin, 5], [colour, 2.5]]) {
      Object.assign(context, { strokeStyle, lineWidth });
      context.beginPath();
      if (shape === "cross") {
        context.moveTo(x - 8, y); context.lineTo(x + 8, y);
        context.moveTo(x, y - 8); context.lineTo(x, y + 8);
      } else if (shape === "square") {
        context.rect(x - 6, y - 6, 12, 12);
      } else {
        context.arc(x, y, shape === "dot" ? 1.5 : 6, 0, 2 * Math.PI);
      }
      context.stroke();
    }
  }

  // Lines at round numbers, four or more to each side.
  ticks(context, colour, width, height) {
    const raw = this.half / 2;
    const ten = 10 ** Math.floor(Math.log10(raw));
    const step = ten * [5, 2, 1].find((factor) => factor * ten <= raw);
    const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const numbers = (axis) => {
      const first = Math.ceil((this.centre[axis] - this.half) / step);
      const last = Math.floor((this.centre[axis] + this.half) / step);
      return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
    };
    Object.assign(context, { lineWidth: 1, strokeStyle: colour("line"), fillStyle: colour("muted") });
    context.globalAlpha = 0.5;
    context.beginPath();
    for (const x of numbers(0)) {
      const [at] = this.at([x, 0]);
      context.moveTo(at, 0); context.lineTo(at, height);
    }
    for (const y of numbers(1)) {
      const at = this.at([0, y])[1];
      context.moveTo(0, at); context.lineTo(width, at);
    }
    context.stroke();
    context.globalAlpha = 1;
    context.textAlign = "center";
    for (const x of numbers(0)) {
      const at = this.at([x, 0])[0];
      if (at > 36 && at < width - 36) context.fillText(x.toFixed(decimals), at, height - 6);
    }
    context.textAlign = "left";
    for (const y of numbers(1)) {
      const at = this.at([0, y])[1];
      if (at > 28 && at < height - 24) context.fillText(y.toFixed(decimals), 4, at + 4);
    }
    context.fillText("z2", 4, 14);
    context.textAlign = "right";
    context.fillText("z1", width - 5, height - 6);
  }
}
