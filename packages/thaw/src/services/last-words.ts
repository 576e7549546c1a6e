/** So much is part of an error. Bytes. */
const KEPT = 1200
const LINES = 8

/** What a program printed last. */
export class LastWords {
  #bytes = Buffer.alloc(0)

  add(bytes: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]).subarray(-KEPT)
  }

  clear(): void {
    this.#bytes = Buffer.alloc(0)
  }

  /** As a sentence. */
  toString(): string {
    const last = this.#bytes.toString().trim()
    if (last === '') return 'It printed nothing.'
    return `It printed last: ${last.split('\n').slice(-LINES).join(' | ')}`.replace(/[.]?$/, '.')
  }
}
