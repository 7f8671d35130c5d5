// One seeded generator for all tests: a failure names its seed.

/** Mulberry32. @param {number} seed */
export function randomFrom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  const below = (/** @type {number} */ n) => Math.floor(next() * n);
  return { next, below, pick: (/** @type {any[]} */ list) => list[below(list.length)] };
}
