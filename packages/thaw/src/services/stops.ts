/** Calls of one service at breakpoints: each waits until somebody attaches, or its time is up. The last one leaves a copy. */
import { readFileSync } from 'node:fs'
import type { ServiceStop } from '@thaw/protocol'
import { DebugMessage, type HostHello } from '@thaw/protocol/service-host'
import { ThawError } from '../system/index.js'
import type { Line } from './line.js'
import { Slot, type Outcome, type Printed } from './party.js'

type At = Extract<DebugMessage, { t: 'stop' }>
type DebugHello = Extract<HostHello, { role: 'debug' | 'copy' | 'again' }>

/** Who is attached. */
export interface Client {
  print(stream: 'stdout' | 'stderr', bytes: Uint8Array): void
  /** The call goes on without them, or has ended. */
  left(error: ThawError | null): void
}

/** What somebody who is attached does. */
export interface Attached {
  type(bytes: Uint8Array): void
  /** Nothing more will be typed. */
  end(): void
  leave(): void
}

/** What stops need of the service. */
export interface StopSupply {
  name: string
  /** Seconds that a call waits for somebody. */
  limit(): number
  /** That carries a call. */
  slot(call: number): Slot | undefined
  /** A number for one more call. */
  number(): number
  /** What the files hold now is this version. */
  now(): { version: string; callables: string[] | null; files: readonly string[] }
  kill(pid: number): void
  keepAwake(): Disposable
}

interface Stopped {
  call: number
  /** Of its process, where that lives. */
  pid: number
  line: Line
  slot: Slot
  /** Where it stands; null: it goes on. */
  at: At | null
  since: number
  client: Client | null
  timer: NodeJS.Timeout | undefined
}

interface Copy {
  call: number
  line: Line
  ended: Promise<void>
}

export class Stops {
  readonly #supply: StopSupply
  readonly #all = new Map<number, Stopped>()
  #copy: Copy | null = null
  /** Why the latest stop left no copy. */
  #uncopied: string | null = null
  /** What goes on from copies, by its number. */
  readonly #again = new Map<number, { slot: Slot; pid: number }>()

  constructor(supply: StopSupply) {
    this.#supply = supply
  }

  /** The one that waits longest first. */
  list(): ServiceStop[] {
    return [...this.#all.values()]
      .filter(isStanding)
      .sort((a, b) => a.since - b.since)
      .map(({ call, at, client, since }) => {
        const { fn, file, line, function: name, uncopied } = at as At
        const waited = (performance.now() - since) / 1000
        const left = uncopied ?? ((this.#copy?.call ?? 0) > call ? 'another call has stopped since' : null)
        return {
          call,
          fn,
          file,
          line,
          function: name,
          attached: client !== null,
          waited_seconds: waited,
          uncopied: left,
        }
      })
  }

  /** Whether a call stands still, or is in somebody's hands. @param pid of its process, where that lives */
  holds(call: number, pid: number): boolean {
    const stopped = this.#all.get(call)
    return this.stands(pid) || (stopped !== undefined && (isStanding(stopped) || stopped.client !== null))
  }

  /** Whether nothing goes on in a process, as at `debugger` in Node. */
  stands(pid: number): boolean {
    return [...this.#all.values()].some((one) => one.pid === pid && isStanding(one) && one.at?.whole === true)
  }

  /** Nobody waits for the call any more: it is not held. */
  release(call: number): void {
    const stopped = this.#all.get(call)
    if (stopped === undefined) return
    stopped.line.send({ do: 'go' })
    stopped.client?.left(new ThawError('CANCELLED', 'The call was cancelled.'))
    stopped.client = null
  }

  /**
   * @param call null: the one that waits longest
   * @throws ThawError NO_BREAKPOINT, WRONG_STATE when somebody is attached already
   */
  attach(call: number | null, how: 'pdb' | 'dap', client: Client): Attached {
    const waiting = this.list()
    const found = call === null ? waiting.find(({ attached }) => !attached) : { call }
    const stopped = found === undefined ? undefined : this.#all.get(found.call)
    if (stopped === undefined || !isStanding(stopped)) throw this.#nothing(call, waiting)
    if (stopped.client !== null) {
      throw new ThawError('WRONG_STATE', `Somebody is attached to call ${stopped.call} already.`)
    }
    clearTimeout(stopped.timer)
    stopped.client = client
    const { line } = stopped
    line.send({ do: how === 'dap' ? 'dap' : 'attach' })
    return {
      type: (bytes) => line.send({ do: 'stdin' }, bytes),
      end: () => {
        // An editor types nothing.
        if (how === 'pdb') line.send({ do: 'eof' })
      },
      leave: () => {
        if (stopped.client !== client) return
        stopped.client = null
        line.send({ do: 'detach' })
        this.#await(stopped)
      },
    }
  }

  /**
   * The call that stopped last goes on once more from its breakpoint, with the code of now.
   *
   * @throws ThawError NO_BREAKPOINT, and why there is no copy; WORKER_CRASHED
   */
  async again(printed: Printed, signal: AbortSignal): Promise<Outcome> {
    const copy = this.#copy
    if (copy === null) {
      const why = this.#uncopied
      throw new ThawError(
        'NO_BREAKPOINT',
        why === null
          ? `No call of ${this.#supply.name} has left a copy at a breakpoint.`
          : `The call that stopped last has left no copy: ${why}.`,
      )
    }
    using _awake = this.#supply.keepAwake()
    const { version, callables, files } = this.#supply.now()
    const call = this.#supply.number()
    const slot = new Slot()
    this.#again.set(call, { slot, pid: 0 })
    const leave = () => {
      const { pid } = this.#again.get(call) ?? { pid: 0 }
      if (pid !== 0) this.#supply.kill(pid)
      slot.end()
    }
    signal.addEventListener('abort', leave, { once: true })
    try {
      const outcome = slot.expect(call, printed)
      const body = Buffer.from(JSON.stringify(contentsOf(files)))
      copy.line.send({ do: 'again', number: call, version, callables }, body)
      void copy.ended.then(() => slot.line ?? slot.end())
      return await outcome
    } finally {
      signal.removeEventListener('abort', leave)
      this.#again.delete(call)
      slot.end()
    }
  }

  hear(hello: DebugHello, line: Line): void {
    const { call } = hello
    if (hello.role === 'copy') return this.#keep(call, line)
    const again = this.#again.get(call)
    if (hello.role === 'again') {
      if (again === undefined) return line.close()
      again.pid = hello.pid
      return again.slot.attach(line)
    }
    const slot = again?.slot ?? this.#supply.slot(call)
    if (slot === undefined) return line.close()
    const stopped: Stopped = {
      call,
      pid: hello.pid,
      line,
      slot,
      at: null,
      since: 0,
      client: null,
      timer: undefined,
    }
    this.#all.set(call, stopped)
    line.onFrame = (message, body) => this.#take(stopped, DebugMessage.parse(message), body)
    line.onEnd = () => {
      clearTimeout(stopped.timer)
      this.#all.delete(call)
      stopped.client?.left(null)
      stopped.client = null
    }
  }

  /** No copy is left, and waits until they have ended. */
  async drop(): Promise<void> {
    const copy = this.#copy
    if (copy === null) return
    copy.line.send({ do: 'end' })
    await copy.ended
  }

  #take(stopped: Stopped, message: DebugMessage, body: Buffer): void {
    const { client, slot } = stopped
    switch (message.t) {
      case 'stop':
        if (stopped.at === null) stopped.since = performance.now()
        if (stopped.at === null && message.uncopied !== null) this.#uncopied = message.uncopied
        stopped.at = message
        if (client === null) {
          const { file, line, function: name } = message
          slot.say(
            `thaw: breakpoint in ${name} (${file}:${line}). Attach with: thaw debug ${this.#supply.name}   (call ${stopped.call} goes on by itself in ${this.#supply.limit()} s)\n`,
          )
          this.#await(stopped)
        }
        return
      case 'print':
        return client?.print('stdout', body)
      case 'went':
        stopped.at = null
        return clearTimeout(stopped.timer)
      case 'detached':
        stopped.client = null
        client?.left(null)
        return this.#await(stopped)
      case 'dap':
        client?.print('stdout', Buffer.from(`127.0.0.1:${message.port}\n`))
        return
      case 'refused':
        stopped.client = null
        client?.left(new ThawError('DEBUGGER_MISSING', `${message.message}.`))
        return this.#await(stopped)
    }
  }

  /** It goes on by itself when nobody comes. */
  #await(stopped: Stopped): void {
    clearTimeout(stopped.timer)
    const limit = this.#supply.limit()
    stopped.timer = setTimeout(() => {
      if (stopped.at === null) return
      stopped.slot.say(`thaw: nobody attached to call ${stopped.call} within ${limit} s; it goes on.\n`)
      stopped.line.send({ do: 'go' })
    }, limit * 1000)
  }

  #keep(call: number, line: Line): void {
    this.#copy?.line.send({ do: 'end' })
    const copy: Copy = {
      call,
      line,
      ended: new Promise((resolve) => {
        line.onEnd = () => {
          if (this.#copy === copy) this.#copy = null
          resolve()
        }
      }),
    }
    this.#copy = copy
    this.#uncopied = null
  }

  #nothing(call: number | null, waiting: readonly ServiceStop[]): ThawError {
    const { name } = this.#supply
    const others = waiting.map((one) => one.call).join(', ')
    if (call !== null && waiting.length > 0) {
      return new ThawError('NO_BREAKPOINT', `Call ${call} of ${name} stands at none; ${others} do.`)
    }
    if (waiting.length > 0)
      return new ThawError('WRONG_STATE', `Somebody is attached to call ${others} already.`)
    return new ThawError('NO_BREAKPOINT', `No call of ${name} stands at a breakpoint.`)
  }
}

/** What has answered stands no more, even if its debugger has not said so yet: that speaks on another connection. */
function isStanding({ at, slot, call }: Stopped): boolean {
  return at !== null && slot.call === call
}

/** In base64, by path; what is gone is left out. */
function contentsOf(files: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {}
  for (const file of files) {
    try {
      found[file] = readFileSync(file).toString('base64')
    } catch {
      // What was loaded from it stays.
    }
  }
  return found
}
