/* The seed that the model derives from a caption: FarmHash's Fingerprint64 of
 * its bytes, modulo 2^31 - 1 (TensorFlow's string_to_hash_bucket_fast). With
 * it, the page shows the image of serving_default, and its attention. */
"use strict";

const LARGEST_SEED = Number.MAX_SAFE_INTEGER;
const K0 = 0xc3a5c85c97cb3127n;
const K1 = 0xb492b66fbe98f273n;
const K2 = 0x9ae16a3b2f90404fn;

const u64 = (value) => BigInt.asUintN(64, value);
const times = (a, b) => u64(a * b);
const mix = (value) => value ^ (value >> 47n);
const rotate = (value, by) => u64((value >> by) | (value << (64n - by)));

function combine(u, v, mul) {
  const a = mix(times(u ^ v, mul));
  return times(mix(times(v ^ a, mul)), mul);
}

/** Reads little-endian numbers from a text's bytes. */
class Bytes {
  constructor(text) {
    this.array = new TextEncoder().encode(text);
    this.view = new DataView(this.array.buffer);
    this.length = this.array.length;
  }

  /** 64 bits; a negative position counts from the end. */
  at(position) {
    return this.view.getBigUint64(position < 0 ? this.length + position : position, true);
  }

  at32(position) {
    return BigInt(this.view.getUint32(
      position < 0 ? this.length + position : position, true));
  }
}

function upTo16(s, n) {
  if (s.length >= 8) {
    const mul = K2 + 2n * n;
    const a = u64(s.at(0) + K2);
    const b = s.at(-8);
    const c = u64(times(rotate(b, 37n), mul) + a);
    const d = times(u64(rotate(a, 25n) + b), mul);
    return combine(c, d, mul);
  }
  if (s.length >= 4) {
    return combine(u64(n + (s.at32(0) << 3n)), s.at32(-4), K2 + 2n * n);
  }
  if (s.length === 0) return K2;
  const [a, b, c] = [0, s.length >> 1, s.length - 1].map(
    (position) => BigInt(s.array[position]));
  return times(mix(times(a + (b << 8n), K2) ^ times(n + (c << 2n), K0)), K2);
}

function upTo32(s, n) {
  const mul = K2 + 2n * n;
  const a = times(s.at(0), K1);
  const b = s.at(8);
  const c = times(s.at(-8), mul);
  const d = times(s.at(-16), K2);
  return combine(
    u64(rotate(u64(a + b), 43n) + rotate(c, 30n) + d),
    u64(a + rotate(u64(b + K2), 18n) + c), mul);
}

function upTo64(s, n) {
  const mul = K2 + 2n * n;
  const a = times(s.at(0), K2);
  const b = s.at(8);
  const c = times(s.at(-8), mul);
  const d = times(s.at(-16), K2);
  const y = u64(rotate(u64(a + b), 43n) + rotate(c, 30n) + d);
  const z = combine(y, u64(a + rotate(u64(b + K2), 18n) + c), mul);
  const e = times(s.at(16), mul);
  const f = s.at(24);
  const g = times(u64(y + s.at(-32)), mul);
  const h = times(u64(z + s.at(-24)), mul);
  return combine(
    u64(rotate(u64(e + f), 43n) + rotate(g, 30n) + h),
    u64(e + rotate(u64(f + a), 18n) + g), mul);
}

/** Mixes 32 bytes into a pair of numbers. */
function weak(s, position, a, b) {
  const [w, x, y, z] = [0, 8, 16, 24].map((step) => s.at(position + step));
  const first = u64(a + w);
  const sum = u64(first + x + y);
  const second = u64(rotate(u64(b + first + z), 21n) + rotate(sum, 44n));
  return [u64(sum + z), u64(second + first)];
}

function longer(s, n) {
  let [x, y] = [81n, u64(81n * K1 + 113n)];
  let z = times(mix(u64(y * K2 + 113n)), K2);
  let [v, w] = [[0n, 0n], [0n, 0n]];
  x = u64(x * K2 + s.at(0));
  const end = Math.floor((s.length - 1) / 64) * 64;
  const round = (position, mul, last) => {
    const times9 = last ? 9n : 1n;
    x = times(rotate(u64(x + y + v[0] + s.at(position + 8)), 37n), mul);
    y = times(rotate(u64(y + v[1] + s.at(position + 48)), 42n), mul);
    x ^= u64(w[1] * times9);
    y = u64(y + v[0] * times9 + s.at(position + 40));
    z = times(rotate(u64(z + w[0]), 33n), mul);
    v = weak(s, position, times(v[1], mul), u64(x + w[0]));
    w = weak(s, position + 32, u64(z + w[1]), u64(y + s.at(position + 16)));
    [z, x] = [x, z];
  };
  for (let position = 0; position < end; position += 64) round(position, K1, false);
  const mul = u64(K1 + ((z & 0xffn) << 1n));
  w[0] = u64(w[0] + ((n - 1n) & 63n));
  v[0] = u64(v[0] + w[0]);
  w[0] = u64(w[0] + v[0]);
  round(s.length - 64, mul, true);
  return combine(
    u64(combine(v[0], w[0], mul) + times(mix(y), K0) + z),
    u64(combine(v[1], w[1], mul) + x), mul);
}

/** The seed that the model derives from a caption. */
function captionSeed(caption) {
  const s = new Bytes(caption);
  const n = BigInt(s.length);
  const hash = [[16, upTo16], [32, upTo32], [64, upTo64], [Infinity, longer]]
    .find(([max]) => s.length <= max)[1];
  return Number(hash(s, n) % (2n ** 31n - 1n));
}

/** A random seed. */
function randomSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;
}

/** The text as a number, or null if it is not a seed. */
function parseSeed(text) {
  const value = Number(text);
  return /^\d{1,16}$/.test(text) && value <= LARGEST_SEED ? value : null;
}
