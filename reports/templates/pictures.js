"use strict";

// Images on canvases, and a drawing as an image.

function contextOf(canvas) {
  return canvas.getContext("2d", { willReadFrequently: true });
}

// Paint images, 784 values in [0, 1] each, next to each other.
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
  canvas.width = 28 * columns;
  contextOf(canvas).putImageData(pixels, 0, 0);
}

// A drawing as MNIST has its digits: 20 pixels long, its centre of mass in the middle. The ink is
// what is opaque.
function asDigit(pad) {
  const { width, height } = pad;
  const { data } = contextOf(pad).getImageData(0, 0, width, height);
  let [left, right, top, bottom] = [width, -1, height, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[4 * (y * width + x) + 3] > 20) {
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
    return Float32Array.from({ length: 784 }, (_, i) => pixels[4 * i + 3] / 255);
  };
  const rough = draw(0, 0);
  let [mass, x, y] = [0, 0, 0];
  rough.forEach((value, i) => {
    mass += value; x += value * ((i % 28) + 0.5); y += value * (Math.floor(i / 28) + 0.5);
  });
  return draw(14 - x / mass, 14 - y / mass);
}

// Let a pointer draw on a canvas; call `drawn` with the digit after each stroke. Returns a function
// that clears the canvas.
function preparePad(pad, drawn) {
  const context = contextOf(pad);
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * pad.width) / box.width,
      ((event.clientY - box.top) * pad.height) / box.height,
    ];
  };
  let last = null;
  const stroke = (event) => {
    if (last === null) return;
    const next = place(event);
    const strokeStyle = getComputedStyle(pad).color;
    Object.assign(context, { strokeStyle, lineWidth: 16, lineCap: "round" });
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
    if (digit !== null) drawn(digit);
  });
  return () => context.clearRect(0, 0, pad.width, pad.height);
}
