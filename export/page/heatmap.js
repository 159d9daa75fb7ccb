/* Heat maps of one word's attention over an image. */
"use strict";

// Relative tolerance: the weights of equal scores differ by rounding.
const TOLERANCE = 1e-3;
// Position from 0 to 1; red, green, blue; opacity, so that the image is visible.
const RAMP = [
  [0, 8, 8, 24, 0.66],
  [0.25, 64, 16, 110, 0.64],
  [0.5, 176, 42, 100, 0.6],
  [0.75, 240, 120, 44, 0.5],
  [1, 255, 236, 140, 0.42],
];

/** The red, green, blue and opacity, from 0 to 255, of a value from 0 to 1. */
function colourAt(value) {
  const above = Math.max(1, RAMP.findIndex(([position]) => position >= value));
  const [low, high] = [RAMP[above - 1], RAMP[above]];
  const fraction = (value - low[0]) / (high[0] - low[0]);
  const [, red, green, blue, opacity] = low.map(
    (part, i) => part + fraction * (high[i] - part));
  return [red, green, blue, opacity * 255];
}

/**
 * A word's weights above the uniform weight (Eq. 15), scaled to values from 0
 * to 1, and the largest weight; null and 0 if no weight is above it.
 * @param {number[][]} map - weights, rows of columns.
 * @param {number} count - the number of words in the caption.
 */
function aboveUniform(map, count) {
  const uniform = 1 / count;
  const peak = Math.max(...map.map((row) => Math.max(...row)));
  if (!(peak > uniform * (1 + TOLERANCE))) return { values: null, peak: 0 };
  const scaled = (weight) => Math.max(0, weight - uniform) / (peak - uniform);
  return { values: map.map((row) => row.map(scaled)), peak };
}

/** Paints values from 0 to 1 on a canvas of as many pixels. */
function paintHeat(canvas, values) {
  canvas.height = values.length;
  canvas.width = values[0].length;
  const pixels = new Uint8ClampedArray(values.flat().flatMap(colourAt));
  canvas.getContext("2d").putImageData(
    new ImageData(pixels, canvas.width), 0, 0);
}

/** Removes the heat map. */
function clearHeat(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}
