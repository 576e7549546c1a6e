/** One change at a time, in the order in which they were asked for. */
export class Turns {
  #last: Promise<unknown> | null = null
  readonly #onChange: () => void

  /** @param onChange called after each */
  constructor(onChange: () => void = () => {}) {
    this.#onChange = onChange
  }

  /** Whether a change is under way. */
  get isBusy(): boolean {
    return this.#last !== null
  }

  /** Resolves when the last one has ended, whatever came of it. */
  async settled(): Promise<void> {
    await this.#last?.catch(() => {})
  }

  async run<T>(change: () => Promise<T>): Promise<T> {
    const before = this.#last
    const turn = (async () => {
      await before?.catch(() => {})
      return await change()
    })()
    this.#last = turn
    try {
      return await turn
    } finally {
      if (this.#last === turn) this.#last = null
      this.#onChange()
    }
  }
}
