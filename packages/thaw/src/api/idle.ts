import type { EventEmitter } from 'node:events'

/** Calls `exit` once nothing has been in the works for so many seconds. */
export class IdleExit implements Disposable {
  readonly #seconds: number
  readonly #busy: () => boolean
  readonly #exit: () => void
  #timer: NodeJS.Timeout | undefined
  #since = performance.now()
  /** Requests and streams that have not ended. */
  #held = 0

  /**
   * @param seconds 0: never
   * @param busy whether anything lives that an exit would lose
   */
  constructor(seconds: number, busy: () => boolean, exit: () => void) {
    this.#seconds = seconds
    this.#busy = busy
    this.#exit = exit
  }

  /** The daemon can be asked: what its start took does not count. */
  begin(): void {
    if (this.#seconds === 0) return
    this.touch()
    const every = Math.min(Math.max((this.#seconds * 1000) / 10, 20), 10_000)
    this.#timer = setInterval(() => {
      if (this.#busy() || this.#held > 0) this.touch()
      else if ((this.secondsLeft() ?? 1) <= 0) this.#exit()
    }, every)
  }

  /** Something was asked for. */
  touch(): void {
    this.#since = performance.now()
  }

  /** No exit before this has closed: a request, a stream. It does not count as something that lives. */
  hold(closing: EventEmitter): void {
    this.#held++
    closing.once('close', () => {
      this.#held--
      this.touch()
    })
  }

  /** Until the exit; null when there is none in sight. */
  secondsLeft(): number | null {
    if (this.#seconds === 0 || this.#busy()) return null
    return Math.max(0, this.#seconds - (performance.now() - this.#since) / 1000)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
