/** Who is let in to a service: so many at a time, so many wait, and the next is refused. */
import { ThawError } from '../system/index.js'

/** The longest that a timer of Node can wait. Milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1

export interface Waiting {
  /** Seconds; null: as long as it takes. */
  timeout: number | null
  /** Aborted when nobody waits for it any more. */
  signal: AbortSignal
  /** What it ends with when it has waited too long. */
  late(): ThawError
}

export interface Gate {
  /** How many may wait. */
  queue(): number
  /** Whether one can begin now, with the code of now. */
  isOpen(): boolean
  /**
   * Brings it to where one can begin; that may have changed again.
   *
   * @param first whether the caller has not waited for it before: a start that had begun before may fail without him
   */
  open(first: boolean): Promise<void>
}

export class Admission {
  readonly #gate: Gate
  readonly #waiting: (() => void)[] = []
  #running = 0
  #pending = 0
  /** Called when the last one has left. */
  onQuiet: () => void = () => {}

  constructor(gate: Gate) {
    this.#gate = gate
  }

  /** That have not left. */
  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#pending
  }

  /**
   * Waits until the service is open and has room, both at once.
   *
   * @param most how many may be there at a time, as this one counts
   * @param begin called at that very moment; what it throws gives the place up
   * @returns what begin returned; leave: gives the place up, once
   * @throws ThawError QUEUE_FULL, CANCELLED, what `late` makes, and what `open` and `begin` throw
   */
  async enter<T>(one: Waiting, most: number, begin: () => T): Promise<{ value: T; leave: () => void }> {
    if (this.#gate.isOpen() && this.#running < most) return this.#begin(begin)
    if (this.#running + this.#pending >= most + this.#gate.queue()) {
      throw new ThawError('QUEUE_FULL', `${this.#running} run and ${this.#pending} wait already.`)
    }
    this.#pending++
    const end = one.timeout === null ? null : performance.now() + one.timeout * 1000
    try {
      for (let first = true; ; first = false) {
        if (!this.#gate.isOpen()) await unlessGone(one, this.#gate.open(first))
        else if (this.#running >= most) await this.#queue(one, end, first)
        else return this.#begin(begin)
      }
    } catch (error) {
      // The room that it may have been called for is the next one's.
      this.#waiting.shift()?.()
      throw error
    } finally {
      this.#pending--
    }
  }

  #begin<T>(begin: () => T): { value: T; leave: () => void } {
    const value = begin()
    this.#running++
    let isOpen = true
    const leave = () => {
      if (!isOpen) return
      isOpen = false
      this.#running--
      this.#waiting.shift()?.()
      if (this.#running === 0) this.onQuiet()
    }
    return { value, leave }
  }

  /** @param end when it has waited long enough; milliseconds of performance.now() */
  async #queue(one: Waiting, end: number | null, isNew: boolean): Promise<void> {
    let next!: () => void
    const called = new Promise<void>((resolve) => (next = resolve))
    // Who was called already and found the service closed keeps the place.
    if (isNew) this.#waiting.push(next)
    else this.#waiting.unshift(next)
    const timer = end === null ? null : after(end - performance.now())
    try {
      const waited = unlessGone(one, called)
      if (timer === null) await waited
      else if ((await Promise.race([waited, timer.over])) === LATE) throw one.late()
    } finally {
      timer?.clear()
      const at = this.#waiting.indexOf(next)
      if (at >= 0) this.#waiting.splice(at, 1)
    }
  }
}

export const GONE = Symbol('gone')
export const LATE = Symbol('late')

export function gone(signal: AbortSignal): Promise<typeof GONE> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(GONE)
    else signal.addEventListener('abort', () => resolve(GONE), { once: true })
  })
}

export function after(milliseconds: number): { over: Promise<typeof LATE>; clear(): void } {
  let timer!: NodeJS.Timeout
  const over = new Promise<typeof LATE>((resolve) => {
    timer = setTimeout(resolve, Math.min(milliseconds, LONGEST_TIMER), LATE).unref()
  })
  return { over, clear: () => clearTimeout(timer) }
}

/** What comes first: that, or that nobody waits for it any more. */
async function unlessGone<T>({ signal }: Waiting, work: Promise<T>): Promise<T> {
  work.catch(() => {})
  const first = await Promise.race([work, gone(signal)])
  if (first === GONE) throw new ThawError('CANCELLED', 'The caller went away before it could begin.')
  return first
}
