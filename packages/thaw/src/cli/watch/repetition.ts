type Stream = 'stdout' | 'stderr'
type Write = (stream: Stream, chunk: Uint8Array) => Promise<void>

/** Bytes of a run's output that the next one is compared with, at most. */
const COMPARED = 4 * 1024 * 1024
/** Milliseconds after which a program that still runs is shown, whatever it prints. */
const PATIENCE = 500

/** What one run printed, and how it ended. */
interface Shown {
  stdout: Buffer
  stderr: Buffer
  exit: string
}

/**
 * The output of a run that begins as the one shown before: held back until it differs, or takes long. So what only
 * repeats is not shown twice, which is known no sooner than at its end.
 */
export class Repetition implements Disposable {
  readonly #before: Shown | null
  readonly #write: Write
  readonly #printed: Record<Stream, Uint8Array[]> = { stdout: [], stderr: [] }
  readonly #lengths: Record<Stream, number> = { stdout: 0, stderr: 0 }
  readonly #timer: NodeJS.Timeout
  /** In the order in which it came; null once it is shown. */
  #held: [Stream, Uint8Array][] | null = []
  #last: Promise<void> = Promise.resolve()

  /** @param before null: there is nothing to repeat */
  constructor(before: Shown | null, write: Write) {
    this.#before = before
    this.#write = write
    this.#timer = setTimeout(() => void this.show(), PATIENCE)
  }

  /** Resolves when more may come. */
  async take(stream: Stream, chunk: Uint8Array): Promise<void> {
    const at = this.#lengths[stream]
    this.#lengths[stream] += chunk.length
    if (this.#lengths[stream] <= COMPARED) this.#printed[stream].push(chunk)
    const same = this.#before?.[stream].subarray(at, at + chunk.length).equals(chunk) === true
    if (this.#held !== null && same) return void this.#held.push([stream, chunk])
    await this.show()
    this.#last = this.#last.then(() => this.#write(stream, chunk))
    await this.#last
  }

  /** Shows what was held back, and from now on whatever comes. */
  async show(): Promise<void> {
    clearTimeout(this.#timer)
    const held = this.#held ?? []
    this.#held = null
    for (const [stream, chunk] of held) this.#last = this.#last.then(() => this.#write(stream, chunk))
    await this.#last
  }

  /** Whether the run, which has ended, printed nothing but what stands there already, and ended likewise. */
  isWhole(exit: string): boolean {
    if (this.#held === null || this.#before === null) return false
    const { stdout, stderr } = this.#lengths
    return (
      this.#before.stdout.length === stdout &&
      this.#before.stderr.length === stderr &&
      this.#before.exit === exit
    )
  }

  /** What the next run is compared with; null where that would be too much. */
  shown(exit: string): Shown | null {
    const { stdout, stderr } = this.#lengths
    if (stdout > COMPARED || stderr > COMPARED) return null
    return { stdout: Buffer.concat(this.#printed.stdout), stderr: Buffer.concat(this.#printed.stderr), exit }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
  }
}
