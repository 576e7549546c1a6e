/** The middle value; the mean of the two middle ones for an even count. */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/**
 * Runs the two in turn, `rounds` times, the first one first in every other
 * round, so that a slow drift of the machine meets both alike. One unmeasured
 * round of each comes before. Returns the values of each, in order.
 */
export async function alternate(rounds, first, second) {
  await first(-1)
  await second(-1)
  const values = [[], []]
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) {
      values[0].push(await first(round))
      values[1].push(await second(round))
    } else {
      values[1].push(await second(round))
      values[0].push(await first(round))
    }
  }
  return values
}

export function now() {
  return Number(process.hrtime.bigint()) / 1e9
}

/** Seconds as whole milliseconds, for remarks. */
export function milliseconds(seconds) {
  return `${(1000 * seconds).toFixed(0)} ms`
}
