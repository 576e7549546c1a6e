/** The end of something long. */
export class Tail {
  readonly #limit: number
  #parts: Uint8Array[] = []
  #size = 0

  /** @param limit bytes that are kept */
  constructor(limit: number) {
    this.#limit = limit
  }

  add(chunk: Uint8Array): void {
    this.#parts.push(chunk.subarray(Math.max(0, chunk.length - this.#limit)))
    this.#size += Math.min(chunk.length, this.#limit)
    while (this.#size - (this.#parts[0]?.length ?? 0) >= this.#limit) {
      this.#size -= this.#parts.shift()?.length ?? 0
    }
  }

  text(): string {
    return Buffer.concat(this.#parts).subarray(-this.#limit).toString('utf8')
  }
}
