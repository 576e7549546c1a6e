/** What a program prints, for whoever wants it: somebody else from a moment on. */
import type { OutputListener } from '../../engines/engine.js'

type StreamName = 'stdout' | 'stderr'

/** Bytes that are kept for a listener that comes later. */
const KEPT = 256 * 1024

export class Output implements OutputListener {
  #listener: OutputListener | null = null
  #kept: [StreamName, Buffer][] = []
  #size = 0
  readonly #waiting = new Set<() => void>()

  output(stream: StreamName, bytes: Buffer): boolean {
    if (this.#listener !== null) return this.#listener.output(stream, bytes)
    this.#kept.push([stream, Buffer.from(bytes)])
    this.#size += bytes.length
    while (this.#size > KEPT && this.#kept.length > 1) this.#size -= this.#kept.shift()?.[1].length ?? 0
    for (const look of this.#waiting) look()
    return true
  }

  /** Hands over what was kept, and everything from here on. */
  direct(listener: OutputListener): void {
    for (const [stream, bytes] of this.#kept) listener.output(stream, bytes)
    this.#kept = []
    this.#listener = listener
  }

  /** The last of what is kept, for a message. */
  get end(): string {
    return Buffer.concat(this.#kept.map(([, bytes]) => bytes))
      .toString('utf8')
      .slice(-2000)
      .trim()
  }

  /** Resolves when what is kept matches. Prerequisite: it is not directed elsewhere yet. */
  printed(pattern: string): Promise<void> {
    const expression = new RegExp(pattern, 'm')
    return new Promise((resolve) => {
      const look = () => {
        const text = Buffer.concat(this.#kept.map(([, bytes]) => bytes)).toString('utf8')
        if (!expression.test(text)) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
      look()
    })
  }
}
