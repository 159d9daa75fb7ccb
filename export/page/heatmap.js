/* One word's attention as a heat map over a picture. */
"use strict";

// How far above an equal share a weight must be, as a share of it: a softmax
// over equal scores rounds.
const EQUAL = 1e-3;
// Place on the scale; red, green, blue; opacity. The picture stays visible.
const RAMP = [
  [0, 8, 8, 24, 0.66],
  [0.25, 64, 16, 110, 0.64],
  [0.5, 176, 42, 100, 0.6],
  [0.75, 240, 120, 44, 0.5],
  [1, 255, 236, 140, 0.42],
];
const COLOURS = Array.from({ length: 256 }, (_, i) => colourAt(i / 255));

function colourAt(value) {
  const above = Math.max(1, RAMP.findIndex(([place]) => place >= value));
  const [low, high] = [RAMP[above - 1], RAMP[above]];
  const share = (value - low[0]) / (high[0] - low[0]);
  const [, red, green, blue, opacity] = low.map(
    (part, i) => part + share * (high[i] - part));
  return [red, green, blue, opacity * 255];
}

/**
 * A word's weights above an equal share (Eq. 15), as values from 0 at an equal
 * share to 1 at the largest weight, which is returned too; 0 where no place
 * has more than an equal share.
 * @param {number[][]} map - weights, rows of columns.
 * @param {number} count - the caption's words.
 */
function aboveShare(map, count) {
  const equal = 1 / count;
  const peak = Math.max(...map.map((row) => Math.max(...row)));
  if (!(peak > equal * (1 + EQUAL))) return { values: null, peak: 0 };
  const scaled = (weight) => Math.max(0, weight - equal) / (peak - equal);
  return { values: map.map((row) => row.map(scaled)), peak };
}

/** The two neighbours of each pixel along one side, and the second's share. */
function neighbours(cells, pixels) {
  return Array.from({ length: pixels }, (_, i) => {
    const place = ((i + 0.5) * cells) / pixels - 0.5;
    const first = Math.min(Math.max(Math.floor(place), 0), cells - 1);
    const second = Math.min(first + 1, cells - 1);
    return [first, second, Math.min(Math.max(place - first, 0), 1)];
  });
}

/** Paints values from 0 to 1 on all of a canvas, enlarged bilinearly. */
function paintHeat(canvas, values) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const columns = neighbours(values[0].length, width);
  let place = 0;
  for (const [top, bottom, down] of neighbours(values.length, height)) {
    const [upper, lower] = [values[top], values[bottom]];
    for (const [left, right, along] of columns) {
      const above = upper[left] + along * (upper[right] - upper[left]);
      const below = lower[left] + along * (lower[right] - lower[left]);
      const value = above + down * (below - above);
      image.data.set(COLOURS[Math.round(value * 255)], place);
      place += 4;
    }
  }
  context.putImageData(image, 0, 0);
}

/** Takes the heat map away. */
function clearHeat(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}
