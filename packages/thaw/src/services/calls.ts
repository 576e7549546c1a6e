/** Calls of one service: who is served now, who waits, who has waited long enough. */
import type { ServiceCompute } from '@thaw/protocol'
import { ThawError, type Log } from '../system/index.js'
import { asError, type Host } from './host.js'
import type { CallRequest, Outcome, Slot } from './party.js'
import type { Stops } from './stops.js'
import type { Worker } from './worker.js'

/** How long a call that is cancelled may take to end. Milliseconds. */
const CANCEL_GRACE = 1000
/** How long a worker may take to say that it is there, while a call in it cannot be interrupted. Milliseconds. */
const PING_PATIENCE = 2000
/** The longest that a timer of Node can wait. Milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1

export type Result = Extract<Outcome, { t: 'result' }>

/** Of a call among those that run. */
interface Place {
  begun: boolean
  leave(): void
}

/** What calls need of the service. */
export interface Supply {
  host(): Host | null
  version(): string
  /** Whether a call can begin now, with the code of now. */
  isOpen(): boolean
  /**
   * Brings it to where a call can begin; that may have changed again.
   *
   * @param first whether the caller has not waited for it before: a start that had begun before may fail without him
   */
  open(first: boolean): Promise<void>
  /** Calls at breakpoints: their time stands still. */
  stops: Pick<Stops, 'holds' | 'stands' | 'release'>
  log: Log
}

export class Calls {
  compute: ServiceCompute
  readonly #supply: Supply
  readonly #waiting: (() => void)[] = []
  /** Workers for one call each, forked ahead. */
  #fresh: Promise<Worker>[] = []
  #running = 0
  /** Calls that have not begun. */
  #pending = 0
  #last = 0
  /** Called when the last call has ended. */
  onQuiet: () => void = () => {}

  constructor(compute: ServiceCompute, supply: Supply) {
    this.compute = compute
    this.#supply = supply
  }

  /** Calls that have not ended, given up ones too. */
  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#pending
  }

  /** For one more call. */
  number(): number {
    return ++this.#last
  }

  /**
   * @param begin called when it begins, with the code that serves then; what it throws ends the call
   * @throws ThawError QUEUE_FULL, CALL_RAISED, CALL_TIMEOUT, CANCELLED, WORKER_CRASHED and what `asError` and `open` know
   */
  async carry(request: CallRequest, begin: () => void): Promise<Result> {
    if (this.#supply.isOpen() && this.#hasRoom(request)) this.#running++
    else await this.#wait(request)
    let isOpen = true
    const place: Place = {
      begun: false,
      leave: () => {
        if (!isOpen) return
        isOpen = false
        this.#running--
        this.#waiting.shift()?.()
        if (this.#running === 0) this.onQuiet()
      },
    }
    try {
      begin()
      return await (request.isolation === 'call' ? this.#alone(request, place) : this.#shared(request, place))
    } finally {
      // What has begun leaves when it has ended, which may be later than its caller's end.
      if (!place.begun) place.leave()
    }
  }

  /** Workers that were forked ahead have the code of then. */
  async refresh(): Promise<void> {
    const fresh = this.#fresh
    this.#fresh = []
    const host = this.#supply.host()
    for (const one of await Promise.allSettled(fresh)) {
      if (one.status === 'fulfilled') await host?.kill(one.value)
    }
  }

  /** Waits until none runs, or so long. Milliseconds. */
  async quiet(milliseconds: number): Promise<boolean> {
    const end = performance.now() + milliseconds
    while (this.#running > 0 && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 2))
    return this.#running === 0
  }

  #hasRoom(request: CallRequest): boolean {
    return this.#running < this.#capacity(request)
  }

  #capacity({ isolation }: CallRequest): number {
    const { concurrency, workers } = this.compute
    return isolation === 'call' ? concurrency : concurrency * workers
  }

  /** Until the service is open and has room, both at once; from then on it counts among those that run. */
  async #wait(request: CallRequest): Promise<void> {
    if (this.#running + this.#pending >= this.#capacity(request) + this.compute.queue) {
      throw new ThawError('QUEUE_FULL', `${this.#running} calls run and ${this.#pending} wait already.`)
    }
    this.#pending++
    const end = request.timeout === null ? null : performance.now() + request.timeout * 1000
    try {
      for (let first = true; ; first = false) {
        if (!this.#supply.isOpen()) await unlessGone(request, this.#supply.open(first))
        else if (!this.#hasRoom(request)) await this.#queue(request, end, first)
        else break
      }
      this.#running++
    } catch (error) {
      // The room that it may have been called for is the next one's.
      this.#waiting.shift()?.()
      throw error
    } finally {
      this.#pending--
    }
  }

  /** @param end when it has waited long enough; milliseconds of performance.now() */
  async #queue(request: CallRequest, end: number | null, isNew: boolean): Promise<void> {
    let next!: () => void
    const called = new Promise<void>((resolve) => (next = resolve))
    // Who was called already and found the service closed keeps the place.
    if (isNew) this.#waiting.push(next)
    else this.#waiting.unshift(next)
    const timer = end === null ? null : after(end - performance.now())
    try {
      const waited = unlessGone(request, called)
      if (timer === null) await waited
      else if ((await Promise.race([waited, timer.over])) === LATE) throw late(request)
    } finally {
      timer?.clear()
      const at = this.#waiting.indexOf(next)
      if (at >= 0) this.#waiting.splice(at, 1)
    }
  }

  async #shared(request: CallRequest, place: Place): Promise<Result> {
    const host = this.#supply.host()
    const worker = this.#idlest(host)
    const slot = worker?.take() ?? (await this.#opened(worker, request))
    if (host === null || worker === null || slot === null) {
      throw new ThawError('WORKER_CRASHED', 'The worker that was to serve the call has ended.')
    }
    return await this.#on(host, worker, slot, request, place)
  }

  /** With the fewest calls; null: there is none just now. */
  #idlest(host: Host | null): Worker | null {
    const { concurrency } = this.compute
    const workers = host?.workers.filter((one) => !one.alone && one.running < concurrency) ?? []
    // What stands still is the last choice.
    const load = (one: Worker) => one.running + (this.#supply.stops.stands(one.pid) ? concurrency : 0)
    return workers.reduce<Worker | null>(
      (best, one) => (best === null || load(one) < load(best) ? one : best),
      null,
    )
  }

  /** One more connection, which a worker that is busy with a call may not make for long. @throws ThawError CALL_TIMEOUT, CANCELLED */
  async #opened(worker: Worker | null, request: CallRequest): Promise<Slot | null> {
    if (worker === null) return null
    const opened = worker.open()
    const first = await inTime(opened, request, () => this.#supply.stops.stands(worker.pid))
    if (first !== GONE && first !== LATE) return first
    void opened.then((slot) => {
      if (slot !== null) slot.taken = false
    })
    throw overdue(first, request)
  }

  /** In a copy of the state right after loading, which ends with the call. */
  async #alone(request: CallRequest, place: Place): Promise<Result> {
    const host = this.#host()
    const ahead = await this.#fresh.shift()
    const isFit = ahead !== undefined && !ahead.gone && ahead.version === this.#supply.version()
    if (ahead !== undefined && !isFit) void host.kill(ahead)
    const worker = isFit ? ahead : await this.#fork(host)
    // The next is made while this one works.
    if (this.#fresh.length === 0 && this.compute.isolation === 'call') this.#ahead(host)
    try {
      const slot = worker.take()
      if (slot === null) throw new ThawError('WORKER_CRASHED', 'The copy for the call has ended.')
      return await this.#on(host, worker, slot, request, place)
    } finally {
      void host.kill(worker).catch(() => {})
    }
  }

  #ahead(host: Host): void {
    const fresh = this.#fork(host)
    fresh.catch(() => (this.#fresh = this.#fresh.filter((one) => one !== fresh)))
    this.#fresh.push(fresh)
  }

  async #fork(host: Host): Promise<Worker> {
    const scope = { signal: new AbortController().signal, log: this.#supply.log }
    return await host.fork(this.#supply.version(), scope, true)
  }

  #host(): Host {
    const host = this.#supply.host()
    if (host === null) throw new ThawError('WORKER_CRASHED', 'The service ended before the call could begin.')
    return host
  }

  async #on(host: Host, worker: Worker, slot: Slot, request: CallRequest, place: Place): Promise<Result> {
    const { fn } = request
    const id = this.number()
    const carried = slot.carry(id, request)
    place.begun = true
    const free = () => {
      slot.taken = false
      place.leave()
    }
    carried.then(free, free)
    let given
    try {
      given = await inTime(carried, request, () => this.#supply.stops.holds(id, worker.pid))
      if (given !== GONE && given !== LATE) return asResult(given)
    } catch (error) {
      if (!(error instanceof ThawError) || error.code !== 'WORKER_CRASHED') throw error
      throw new ThawError('WORKER_CRASHED', `The process that served ${fn} ${await host.ending(worker)}.`)
    }
    // A process that waits until what it prints is taken could not be interrupted.
    slot.mute()
    worker.cancel(slot, id)
    this.#supply.stops.release(id)
    const grace = after(CANCEL_GRACE)
    const ended = await Promise.race([carried.catch(() => null), grace.over])
    grace.clear()
    if (ended === LATE) void this.#stuck(host, worker, slot)
    throw overdue(given, request)
  }

  /**
   * A call that cannot be interrupted keeps its place. A worker in which there is no other is replaced; so is one that lets nothing
   * else in it go on, as C code does that never lets go of the interpreter.
   */
  async #stuck(host: Host, worker: Worker, slot: Slot): Promise<void> {
    slot.stuck = true
    if (this.#supply.stops.stands(worker.pid)) return
    const { concurrency } = this.compute
    const isFull = worker.slots.filter((one) => one.stuck && one.taken).length >= concurrency
    if (!isFull && (await worker.answers(PING_PATIENCE))) return
    if (worker.gone) return
    this.#supply.log.warn('A worker is stuck; it is replaced.', { worker: worker.name })
    await host.replace(worker).catch(() => {})
  }
}

const GONE = Symbol('gone')
const LATE = Symbol('late')

function gone(signal: AbortSignal): Promise<typeof GONE> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(GONE)
    else signal.addEventListener('abort', () => resolve(GONE), { once: true })
  })
}

/** What comes first: that, or that nobody waits for the call any more. */
async function unlessGone<T>({ signal }: CallRequest, work: Promise<T>): Promise<T> {
  work.catch(() => {})
  const first = await Promise.race([work, gone(signal)])
  if (first === GONE) throw new ThawError('CANCELLED', 'The caller went away before the call had begun.')
  return first
}

function after(milliseconds: number): { over: Promise<typeof LATE>; clear(): void } {
  let timer!: NodeJS.Timeout
  const over = new Promise<typeof LATE>((resolve) => {
    timer = setTimeout(resolve, Math.min(milliseconds, LONGEST_TIMER), LATE).unref()
  })
  return { over, clear: () => clearTimeout(timer) }
}

/** What comes first: that, that nobody waits for it any more, or that its time is over. @param isHeld whether that begins anew */
async function inTime<T>(
  work: Promise<T>,
  { timeout, signal }: CallRequest,
  isHeld: () => boolean,
): Promise<T | typeof GONE | typeof LATE> {
  const left = gone(signal)
  // The common case needs no timer.
  if (timeout === null) return await Promise.race([work, left])
  for (;;) {
    const timer = after(timeout * 1000)
    const first = await Promise.race([work, left, timer.over]).finally(() => timer.clear())
    if (first !== LATE || !isHeld()) return first
  }
}

function overdue(why: typeof GONE | typeof LATE, request: CallRequest): ThawError {
  return why === GONE ? new ThawError('CANCELLED', 'The caller went away.') : late(request)
}

function late({ fn, timeout }: CallRequest): ThawError {
  return new ThawError('CALL_TIMEOUT', `${fn} did not end within ${timeout} s.`)
}

/** @throws ThawError what the call ended with */
export function asResult(outcome: Outcome): Result {
  if (outcome.t === 'result') return outcome
  const { error, version } = outcome
  if (error.kind !== 'raised' && error.kind !== 'syntax') throw asError(error)
  const { type, module, message, traceback, args, exceptions } = error
  const standing = exceptions === undefined ? {} : { exceptions }
  throw new ThawError('CALL_RAISED', `${type}: ${message}`, {
    details: { type, module, message, traceback, args, version, ...standing },
  })
}
