/** Calls of one service: who is served now, who waits, who has waited long enough. */
import type { ServiceCompute } from '@thaw/protocol'
import { ThawError, type Log } from '../system/index.js'
import { Admission, after, gone, GONE, LATE, type Gate } from './admission.js'
import { asError, type Host } from './host.js'
import type { CallRequest, Outcome, Slot } from './party.js'
import type { Stops } from './stops.js'
import type { Worker } from './worker.js'

/** How long a call that is cancelled may take to end. Milliseconds. */
const CANCEL_GRACE = 1000
/** How long a worker may take to say that it is there, while a call in it cannot be interrupted. Milliseconds. */
const PING_PATIENCE = 2000

export type Result = Extract<Outcome, { t: 'result' }>

/** Of a call among those that run. */
interface Place {
  begun: boolean
  leave(): void
}

/** What calls need of the service. */
export interface Supply extends Omit<Gate, 'queue'> {
  host(): Host | null
  version(): string
  /** Calls at breakpoints: their time stands still. */
  stops: Pick<Stops, 'holds' | 'stands' | 'release'>
  log: Log
}

export class Calls {
  compute: ServiceCompute
  readonly #supply: Supply
  readonly #admission: Admission
  /** Workers for one call each, forked ahead. */
  #fresh: Promise<Worker>[] = []
  #last = 0

  constructor(compute: ServiceCompute, supply: Supply) {
    this.compute = compute
    this.#supply = supply
    this.#admission = new Admission({
      queue: () => this.compute.queue,
      isOpen: () => supply.isOpen(),
      open: (first) => supply.open(first),
    })
  }

  /** Called when the last call has ended. */
  set onQuiet(told: () => void) {
    this.#admission.onQuiet = told
  }

  /** Calls that have not ended, given up ones too. */
  get running(): number {
    return this.#admission.running
  }

  get waiting(): number {
    return this.#admission.waiting
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
    const waiting = { ...request, late: () => late(request) }
    const { leave } = await this.#admission.enter(waiting, this.#capacity(request), begin)
    const place: Place = { begun: false, leave }
    try {
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
    while (this.running > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 2))
    return this.running === 0
  }

  #capacity({ isolation }: CallRequest): number {
    const { concurrency, workers } = this.compute
    return isolation === 'call' ? concurrency : concurrency * workers
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
