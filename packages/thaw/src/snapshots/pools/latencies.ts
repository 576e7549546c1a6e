/** Of the latest takes. */
const KEPT = 1000

export class Latencies {
  readonly #latest: number[] = []
  #count = 0

  /** @param ms milliseconds */
  add(ms: number): void {
    this.#latest[this.#count % KEPT] = ms
    this.#count++
  }

  /** Null: there was none. */
  get summary(): { count: number; p50: number; p95: number; p99: number } | null {
    if (this.#count === 0) return null
    const sorted = [...this.#latest].sort((a, b) => a - b)
    const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
    return { count: this.#count, p50: at(0.5), p95: at(0.95), p99: at(0.99) }
  }
}
