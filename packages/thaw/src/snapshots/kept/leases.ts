/** Directories that are in use, by how many. */
export class Leases {
  readonly #held = new Map<string, number>()
  readonly #freed: () => void

  /** @param freed called when nobody uses one any more */
  constructor(freed: () => void) {
    this.#freed = freed
  }

  has(directory: string): boolean {
    return this.#held.has(directory)
  }

  /** Until it is disposed. */
  hold(directory: string): Disposable {
    this.#held.set(directory, (this.#held.get(directory) ?? 0) + 1)
    let held = true
    return {
      [Symbol.dispose]: () => {
        if (!held) return
        held = false
        const left = (this.#held.get(directory) ?? 1) - 1
        if (left > 0) this.#held.set(directory, left)
        else {
          this.#held.delete(directory)
          this.#freed()
        }
      },
    }
  }
}
