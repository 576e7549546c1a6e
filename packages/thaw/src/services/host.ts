/** The processes of one service: the keeper, which is the checkpoint right after loading, its workers, and copies from the loading. */
import type { ServiceCallable, ServiceRequest } from '@thaw/protocol'
import type { HostError, HostHello, KeeperMessage } from '@thaw/protocol/service-host'
import type { ProcessImage } from '../engines/process/image.js'
import { ThawError, within, withTimeout, type Scope } from '../system/index.js'
import type { Line, LineServer } from './line.js'
import { Asked, type Party, type Slot } from './party.js'
import type { Tree } from './tree.js'
import { Worker } from './worker.js'

export interface Loaded {
  callables: ServiceCallable[]
  files: Record<string, string>
  seconds: number
}

/** What an edit came to in every process. */
export type Patched = Extract<KeeperMessage, { t: 'patched' }>

/** How long what was said before an end may take to be read. Milliseconds. */
const LAST_READ = 100
/** How long the others may come after the first, when all are thawed. Milliseconds. */
const AWAKE_PATIENCE = 10_000
/** How long a worker may take to put new code in place. Milliseconds. */
const PATCH_PATIENCE = 10_000

interface Parked {
  party: Asked
  pid: number
  number: number
  progress: Record<string, number>
}

export class Host implements AsyncDisposable {
  readonly tree: Tree
  readonly #lines: LineServer
  #keeper = new Asked()
  #keeperPid = 0
  #parked: Parked[] = []
  #workers: Worker[] = []
  #count = 0
  /** Told of a worker that ended of itself. */
  onWorkerGone: (worker: Worker) => void = () => {}
  /** Told of calls that are debugged. */
  onDebug: (hello: Extract<HostHello, { role: 'debug' | 'copy' | 'again' }>, line: Line) => void = (
    _,
    line,
  ) => line.close()
  /** Told when nothing is left that could fork a worker. */
  onGone: () => void = () => {}

  constructor(tree: Tree, lines: LineServer) {
    this.tree = tree
    this.#lines = lines
    this.#follow(this.#keeper)
    // What its processes said last is read before.
    void tree.exited.then(() => setTimeout(() => this.#end(), LAST_READ).unref())
  }

  get workers(): readonly Worker[] {
    return this.#workers
  }

  get parked(): number {
    return this.#parked.length
  }

  /** Waits until the code is loaded. @throws ThawError SERVICE_FAILED, SYNTAX_ERROR */
  async loaded(scope: Scope): Promise<Loaded> {
    this.#lines.hear((hello, line) => this.#hear(hello, line))
    await within(scope, 'starting', this.#keeper.arrived())
    return asLoaded(await within(scope, 'loading', this.#keeper.next()))
  }

  /**
   * A new worker, with the state right after loading.
   *
   * @param alone whether it is for one call only
   * @throws ThawError WORKER_CRASHED, TIMEOUT
   */
  async fork(version: string, scope: Scope, alone = false): Promise<Worker> {
    const name = `w${++this.#count}`
    // Its connections may come before the keeper's answer.
    const worker = new Worker(name, 0, { alone, version })
    this.#workers.push(worker)
    worker.onGone = () => {
      this.#workers = this.#workers.filter((one) => one !== worker)
      this.onWorkerGone(worker)
    }
    const reply = await within(scope, 'forking', this.#keeper.ask({ do: 'fork', worker: name, version }))
    if (reply.t === 'failed') {
      this.#forget(worker)
      throw asError(reply.error)
    }
    if (reply.t === 'forked') worker.pid = reply.pid
    await within(scope, 'forking', worker.ready())
    if (worker.gone) throw new ThawError('WORKER_CRASHED', 'A worker ended as soon as it was forked.')
    return worker
  }

  /** That carries a call. */
  slot(call: number): Slot | undefined {
    return this.#workers.flatMap(({ slots }) => slots).find((one) => one.call === call)
  }

  /** Ends a process, whatever it does. */
  end(pid: number): void {
    this.#keeper.line?.send({ do: 'kill', pid })
  }

  /** Ends a worker, whatever it does. */
  async kill(worker: Worker): Promise<void> {
    this.end(worker.pid)
    this.#forget(worker)
    await this.ending(worker)
  }

  /** Ends the workers that no call was given to: a fork makes the same again. */
  async killUnused(): Promise<void> {
    await Promise.all(this.#workers.filter(({ used }) => !used).map((one) => this.kill(one)))
  }

  /** Ends a worker as if it had ended of itself. */
  async replace(worker: Worker): Promise<void> {
    // Calls wait from here on.
    worker.onGone()
    await this.kill(worker)
  }

  /** How a worker has ended, in words. */
  async ending(worker: Worker): Promise<string> {
    try {
      const reply = await this.#keeper.ask({ do: 'reap', pid: worker.pid })
      if (reply.t === 'reaped' && reply.signal !== null) return `was ended by ${reply.signal}`
      if (reply.t === 'reaped' && reply.code !== null) return `ended with exit code ${reply.code}`
    } catch {
      // The keeper has ended as well.
    }
    return 'ended'
  }

  /**
   * New code in every process, the workers first: what a worker refuses, none has taken.
   *
   * @throws ThawError SYNTAX_ERROR, RELOAD_FAILED; the old code serves
   */
  async patch(
    sources: ReadonlyMap<string, Buffer>,
    { version, callables }: { version: string; callables: string[] | null },
    scope: Scope,
  ): Promise<Patched> {
    const body = asBody(sources)
    const message = { do: 'patch', version, callables }
    const reply = await within(scope, 'patching', this.#keeper.ask(message, body))
    if (reply.t === 'checked') return await this.#evaluate(message, body, scope)
    const first = asPatched(reply)
    const workers = [...this.#workers]
    const bounded = withTimeout(scope, PATCH_PATIENCE)
    const others = await Promise.allSettled(
      workers.map(async ({ control }) =>
        asPatched(await within(bounded, 'patching', control.ask(message, body))),
      ),
    )
    for (const [at, one] of others.entries()) {
      // Its state may not let it take the new code, or a call nothing else go on: it begins anew with it.
      if (one.status === 'rejected') void this.replace(workers[at] as Worker)
    }
    const told = others.find((one) => one.status === 'fulfilled')
    return told === undefined ? first : { ...first, report: told.value.report }
  }

  /** New code that only workers can try. One that refuses it when another has taken it begins anew. */
  async #evaluate(message: object, body: Buffer, scope: Scope): Promise<Patched> {
    let taken: Patched | null = null
    for (const worker of this.#workers.filter(({ alone }) => !alone)) {
      try {
        const reply = asPatched(await within(scope, 'patching', worker.control.ask(message, body)))
        taken ??= reply
        this.#keeper.line?.send({ ...message, do: 'keep' }, body)
      } catch (error) {
        if (taken === null) throw error
        worker.end()
      }
    }
    if (taken === null)
      throw new ThawError('WORKER_CRASHED', 'There is no worker that could try the new code.')
    return taken
  }

  /**
   * Goes back to the last copy from the loading that had executed nothing of what has changed, and loads from there.
   *
   * @returns null when there is none
   * @throws ThawError SYNTAX_ERROR; nothing has changed then. SERVICE_FAILED: nothing is left
   */
  async rewind(sources: ReadonlyMap<string, Buffer>, scope: Scope): Promise<Loaded | null> {
    const body = asBody(sources)
    const plan = await within(scope, 'comparing', this.#keeper.ask({ do: 'plan' }, body))
    if (plan.t === 'refused') throw asError(plan.error)
    if (plan.t !== 'planned') throw new ThawError('INTERNAL', `A keeper answered a plan with ${plan.t}.`)
    const holds = ({ progress }: Parked) =>
      Object.entries(plan.first).every(([path, first]) => (progress[path] ?? 0) <= first)
    const found = this.#parked.filter(holds).at(-1)
    if (found === undefined) return null
    const later = this.#parked.filter(({ number }) => number > found.number)
    this.#parked = this.#parked.filter(({ number }) => number < found.number)
    for (const one of later) this.#drop(one.party, one.pid)
    for (const worker of this.#workers) await this.kill(worker)
    this.#keeper.onGone = () => {}
    this.#keeper.end()
    this.#keeper = found.party
    this.#keeperPid = found.pid
    this.#follow(this.#keeper)
    return asLoaded(await within(scope, 'loading', this.#keeper.ask({ do: 'wake' }, body)))
  }

  /**
   * Everything stops and is kept on disk.
   *
   * @throws ThawError as ProcessEngine.checkpoint; it goes on then
   */
  async freeze(scope: Scope): Promise<ProcessImage> {
    const parties = this.#parties()
    this.#lines.shut()
    await within(scope, 'freezing', Promise.all(parties.map((one) => one.part())))
    try {
      return await this.tree.freeze(scope)
    } catch (error) {
      await this.#lines.open()
      await within(scope, 'going on', Promise.all(parties.map((one) => one.arrived())))
      throw error
    }
  }

  /** What a later host needs to know the processes of this one again. */
  describe(): Kept {
    return {
      keeper: this.#keeperPid,
      parked: this.#parked.map(({ pid, number, progress }) => ({ pid, number, progress })),
      workers: this.#workers.map(({ name, pid, slots }) => ({ name, pid, slots: slots.length })),
      count: this.#count,
    }
  }

  /** Waits until all processes of a frozen one are there again. */
  async awake(kept: Kept, scope: Scope): Promise<void> {
    this.#count = kept.count
    this.#keeperPid = kept.keeper
    for (const { name, pid, slots } of kept.workers) {
      const worker = new Worker(name, pid, { slots, used: true })
      worker.onGone = () => {
        this.#workers = this.#workers.filter((one) => one !== worker)
        this.onWorkerGone(worker)
      }
      this.#workers.push(worker)
    }
    for (const one of kept.parked) this.#park({ ...one, party: new Asked() })
    this.#lines.hear((hello, line) => this.#hear(hello, line))
    await within(scope, 'waking up', this.#keeper.arrived())
    // One that had ended while it was frozen does not come.
    const others = Promise.all(this.#parties().map((one) => one.arrived()))
    await within(withTimeout(scope, AWAKE_PATIENCE), 'waking up', others).catch(() => {})
    for (const worker of this.#workers) {
      if (worker.parties.some(({ line }) => line === null)) void this.kill(worker)
    }
    for (const { party } of this.#parked) if (party.line === null) party.end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#keeper.onGone = () => {}
    this.onGone = () => {}
    this.onWorkerGone = () => {}
    await this.tree[Symbol.asyncDispose]()
    this.#end()
  }

  #parties(): Party[] {
    return [
      this.#keeper,
      ...this.#parked.map(({ party }) => party),
      ...this.#workers.flatMap((one) => one.parties),
    ]
  }

  #follow(keeper: Asked): void {
    keeper.onGone = () => this.#end()
  }

  #end(): void {
    this.onWorkerGone = () => {}
    for (const one of this.#parties()) one.end()
    for (const worker of this.#workers) worker.end()
    this.onGone()
    this.onGone = () => {}
  }

  #park(parked: Parked): void {
    this.#parked.push(parked)
    this.#parked.sort((a, b) => a.number - b.number)
    parked.party.onGone = () => (this.#parked = this.#parked.filter((one) => one !== parked))
  }

  #forget(worker: Worker): void {
    worker.onGone = () => {}
    this.#workers = this.#workers.filter((one) => one !== worker)
    worker.end()
  }

  #drop(party: Asked, pid: number): void {
    this.end(pid)
    party.end()
  }

  #hear(hello: HostHello, line: Line): void {
    if (hello.role === 'keeper') {
      this.#keeperPid = hello.pid
      return this.#keeper.attach(line)
    }
    if (hello.role === 'parked') {
      // One that woke up was this number before.
      const { pid, number, progress } = hello
      if (pid === this.#keeperPid) return this.#keeper.attach(line)
      const known = this.#parked.find((one) => one.number === number)
      const party = known?.party ?? new Asked()
      if (known === undefined) this.#park({ party, pid, number, progress })
      return party.attach(line)
    }
    if (hello.role !== 'worker' && hello.role !== 'slot') return this.onDebug(hello, line)
    const worker = this.#workers.find(({ name }) => name === hello.worker)
    const party = hello.role === 'worker' ? worker?.control : worker?.slots[hello.slot]
    if (party === undefined) line.close()
    else party.attach(line)
  }
}

export interface Kept {
  keeper: number
  parked: { pid: number; number: number; progress: Record<string, number> }[]
  workers: { name: string; pid: number; slots: number }[]
  count: number
}

/** What the processes are told of a service at their start, beside where to report. */
export function settingOf(
  { source, compute }: Omit<ServiceRequest, 'replace'>,
  root: string,
): Record<string, unknown> {
  const { file, callables, class: made } = source
  // Copies from the loading hold memory, and serve exact reloads only.
  const park = compute.reload === 'exact'
  return { file, root, callables, class: made, pickle: compute.pickle, park, repair: compute.repair !== null }
}

function asBody(sources: ReadonlyMap<string, Buffer>): Buffer {
  const files = [...sources].map(([path, content]) => [path, content.toString('base64')])
  return Buffer.from(JSON.stringify(Object.fromEntries(files)))
}

function asPatched(reply: KeeperMessage): Patched {
  if (reply.t === 'patched') return reply
  throw reply.t === 'refused' ? asError(reply.error) : new ThawError('INTERNAL', `Not an answer: ${reply.t}.`)
}

function asLoaded(reply: KeeperMessage): Loaded {
  if (reply.t === 'loaded') return reply
  if (reply.t !== 'failed') throw new ThawError('INTERNAL', `Loading was answered with ${reply.t}.`)
  throw asError(reply.error)
}

/** What code refused to do, in the words of the catalogue. */
export function asError(error: HostError): ThawError {
  const { kind, message, file = '', line = 0, type, module, traceback, args } = error
  const details = { type, module, message, traceback, args, file, line }
  switch (kind) {
    case 'syntax':
      return new ThawError('SYNTAX_ERROR', `${file}:${line}: ${message}.`, { details })
    case 'reload':
      return new ThawError('RELOAD_FAILED', `${file}:${line}: ${message}.`, { details })
    case 'unknown':
      return new ThawError('FUNCTION_NOT_FOUND', message)
    case 'arguments':
      return new ThawError('ARGUMENTS_REFUSED', message)
    case 'result':
      return new ThawError('RESULT_REFUSED', message)
    case 'cancelled':
      return new ThawError('CANCELLED', message)
    case 'quit':
      return new ThawError('CALL_QUIT', message)
    case 'raised':
      return new ThawError('SERVICE_FAILED', `${type}: ${message}`, { details })
  }
}
