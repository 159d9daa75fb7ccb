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
const COLOURS = Array.from({ length: 256 }, (_, i) => colourAt(i / 255));

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

/** The two cells nearest to each pixel of a side, and the second's weight. */
function neighbours(cells, pixels) {
  return Array.from({ length: pixels }, (_, i) => {
    const position = ((i + 0.5) * cells) / pixels - 0.5;
    const first = Math.min(Math.max(Math.floor(position), 0), cells - 1);
    const second = Math.min(first + 1, cells - 1);
    return [first, second, Math.min(Math.max(position - first, 0), 1)];
  });
}

/** Paints values from 0 to 1 on a canvas, enlarged bilinearly. */
function paintHeat(canvas, values) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const columns = neighbours(values[0].length, width);
  let index = 0;
  for (const [top, bottom, down] of neighbours(values.length, height)) {
    const [upper, lower] = [values[top], values[bottom]];
    for (const [left, right, along] of columns) {
      const above = upper[left] + along * (upper[right] - upper[left]);
      const below = lower[left] + along * (lower[right] - lower[left]);
      const value = above + down * (below - above);
      image.data.set(COLOURS[Math.round(value * 255)], index);
      index += 4;
    }
  }
  context.putImageData(image, 0, 0);
}

/** Removes the heat map. */
function clearHeat(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}
