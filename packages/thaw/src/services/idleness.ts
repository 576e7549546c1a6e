/** Since when nobody has used a service, and whether anything keeps it from resting. */
export class Idleness {
  #since = performance.now()
  #held = 0

  /** It was used until now. */
  end(): void {
    this.#since = performance.now()
  }

  /** It does not rest while this is held. */
  hold(): Disposable {
    this.#held++
    let isHeld = true
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return
        isHeld = false
        this.#held--
        this.end()
      },
    }
  }

  /** @param ready when it could be used again. Milliseconds of performance.now(), as is the result */
  since(ready: number): number {
    return performance.now() - Math.max(this.#since, ready)
  }

  /** @param ttl seconds; null: it never rests */
  isOver(ttl: number | null, ready: number): boolean {
    return ttl !== null && this.#held === 0 && this.since(ready) >= ttl * 1000
  }
}
