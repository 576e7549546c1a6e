/** Calls of one service: who is served now, who waits, who has waited long enough. */
import type { ServiceCompute } from '@thaw/protocol'
import { ThawError, type Log } from '../system/index.js'
import { asError, type Host } from './host.js'
import type { Outcome, Printed, Slot } from './party.js'
import type { Stops } from './stops.js'
import type { Worker } from './worker.js'

/** How long a call that is cancelled may take to end. Milliseconds. */
const CANCEL_GRACE = 1000

export interface CallRequest {
  fn: string
  kind: 'json' | 'bytes' | 'pickle'
  body: Uint8Array
  /** Seconds; null: as long as it likes. */
  timeout: number | null
  isolation: 'service' | 'call'
  /** Aborted when nobody waits for it any more. */
  signal: AbortSignal
  printed: Printed
}

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
  /** Resolves when nothing is being changed. */
  settled(): Promise<void>
  /** Calls at breakpoints: their time stands still. */
  stops: Pick<Stops, 'holds' | 'release'>
  log: Log
}

export class Calls {
  compute: ServiceCompute
  readonly #supply: Supply
  readonly #waiting: (() => void)[] = []
  /** Workers for one call each, forked ahead. */
  #fresh: Promise<Worker>[] = []
  #running = 0
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
    return this.#waiting.length
  }

  /** For one more call. */
  number(): number {
    return ++this.#last
  }

  /** @throws ThawError QUEUE_FULL, CALL_RAISED, CALL_TIMEOUT, CANCELLED, WORKER_CRASHED and what `asError` knows */
  async carry(request: CallRequest): Promise<Result> {
    if (!this.#hasRoom(request)) await this.#queue(request)
    this.#running++
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

  #hasRoom({ isolation }: CallRequest): boolean {
    const { concurrency, workers } = this.compute
    return this.#running < (isolation === 'call' ? concurrency : concurrency * workers)
  }

  async #queue(request: CallRequest): Promise<void> {
    const { queue } = this.compute
    if (this.#waiting.length >= queue) {
      throw new ThawError(
        'QUEUE_FULL',
        `${this.#running} calls run and ${this.#waiting.length} wait already.`,
      )
    }
    const { signal, timeout } = request
    const begun = performance.now()
    while (!this.#hasRoom(request)) {
      await new Promise<void>((resolve, reject) => {
        const over = (error: ThawError) => {
          const at = this.#waiting.indexOf(next)
          if (at >= 0) this.#waiting.splice(at, 1)
          done()
          reject(error)
        }
        const gone = () => over(new ThawError('CANCELLED', 'The caller went away while the call waited.'))
        const timer =
          timeout === null
            ? undefined
            : setTimeout(() => over(late(request)), timeout * 1000 - (performance.now() - begun))
        const done = () => {
          clearTimeout(timer)
          signal.removeEventListener('abort', gone)
        }
        const next = () => {
          done()
          resolve()
        }
        signal.addEventListener('abort', gone, { once: true })
        this.#waiting.push(next)
        if (signal.aborted) gone()
      })
    }
  }

  async #shared(request: CallRequest, place: Place): Promise<Result> {
    const found = (await this.#connection()) ?? (await this.#supply.settled().then(() => this.#connection()))
    if (found === null) {
      throw new ThawError('WORKER_CRASHED', 'The worker that was to serve the call has ended.')
    }
    const { host, worker, slot } = found
    return await this.#on(host, worker, slot, request, place)
  }

  /** Of the worker with the fewest calls; null: there is none just now. */
  async #connection(): Promise<{ host: Host; worker: Worker; slot: Slot } | null> {
    const host = this.#supply.host()
    const { concurrency } = this.compute
    const workers = host?.workers.filter((one) => !one.alone && one.running < concurrency) ?? []
    const worker = workers.reduce<Worker | null>(
      (best, one) => (best === null || one.running < best.running ? one : best),
      null,
    )
    if (host === null || worker === null) return null
    const slot = worker.take() ?? (await worker.open())
    return slot === null ? null : { host, worker, slot }
  }

  /** In a copy of the state right after loading, which ends with the call. */
  async #alone(request: CallRequest, place: Place): Promise<Result> {
    const host = this.#host()
    const worker = await (this.#fresh.shift() ?? this.#fork(host))
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
    const { fn, kind, body, printed, timeout, signal } = request
    const id = this.number()
    const carried = slot.carry(id, fn, kind, body, printed)
    place.begun = true
    const free = () => {
      slot.taken = false
      place.leave()
    }
    carried.then(free, free)
    try {
      if (timeout === null && !signal.aborted) {
        // The common case needs no timer.
        const given = await Promise.race([carried, gone(signal)])
        if (given !== GONE) return asResult(given)
      } else {
        let given
        do given = await Promise.race([carried, gone(signal), after((timeout ?? 0) * 1000)])
        while (given === LATE && this.#supply.stops.holds(id))
        if (given !== GONE && given !== LATE) return asResult(given)
      }
    } catch (error) {
      if (!(error instanceof ThawError) || error.code !== 'WORKER_CRASHED') throw error
      throw new ThawError('WORKER_CRASHED', `The process that served ${fn} ${await host.ending(worker)}.`)
    }
    worker.cancel(slot, id)
    this.#supply.stops.release(id)
    const ended = await Promise.race([carried.catch(() => null), after(CANCEL_GRACE)])
    if (ended === LATE) this.#stuck(host, worker, slot)
    throw signal.aborted ? new ThawError('CANCELLED', 'The caller went away.') : late(request)
  }

  /** A call that cannot be interrupted keeps its place. A worker in which there is no other is replaced. */
  #stuck(host: Host, worker: Worker, slot: Slot): void {
    slot.stuck = true
    const { concurrency } = this.compute
    if (worker.slots.filter((one) => one.stuck && one.taken).length < concurrency) return
    this.#supply.log.warn('All calls of a worker are stuck; it is replaced.', { worker: worker.name })
    void host.replace(worker).catch(() => {})
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

function after(milliseconds: number): Promise<typeof LATE> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds, LATE).unref())
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
