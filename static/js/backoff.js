const SHORTEST_MS = 500;
const LONGEST_MS = 15_000;

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
