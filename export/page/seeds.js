/* Seeds of images: the same caption and seed give the same image. */
"use strict";

const LARGEST_SEED = Number.MAX_SAFE_INTEGER;

/** A random seed. */
function randomSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;
}

/** The text as a number, or null if it is not a seed. */
function parseSeed(text) {
  const value = Number(text);
  return /^\d{1,16}$/.test(text) && value <= LARGEST_SEED ? value : null;
}
