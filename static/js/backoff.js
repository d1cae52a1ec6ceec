const SHORTEST_MS = 500;
const LONGEST_MS = 15_000;
// Longer than a frame takes on a busy page.
const HIDDEN_MS = 200;

/**
 * Milliseconds to wait after this many failures in a row. Chance keeps a crowd of readers from reconnecting at once.
 * @param {number} failures at least 1
 */
export function backoff(failures) {
  return Math.min(LONGEST_MS, SHORTEST_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}

/**
 * Wait this long; by default only until the page has drawn and answered what is due.
 * @param {number} [milliseconds]
 */
export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Wait until the page has drawn what is new; a hidden one draws nothing, and does not wait. */
export function drawn() {
  const next = new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  return Promise.race([next, pause(HIDDEN_MS)]);
}
