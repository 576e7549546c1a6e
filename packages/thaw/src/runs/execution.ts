/** A live branch: what it reports goes into its record, what it prints to disk and to the caller. */
import type {
  AgentEvent,
  CheckpointMessage,
  FailureMessage,
  PreImage,
  ReadSignature,
} from '@thaw/protocol/agent'
import type { AnyImage, Branch, BranchExit, BranchListener } from '../engines/engine.js'
import type { ContentHashes } from '../files/signature.js'
import { OutputFlow, type RunSink } from './flow.js'
import { nowhere, type BranchRecord, type Checkpoint, type Offsets } from './lineage.js'
import { askQuery, queryKey } from './query.js'
import { openScope, ThawError } from '../system/index.js'
import type { OutputRecord, StreamName } from './record.js'
import { SPOOL_LIMIT, type StdinFeed } from './stdin.js'

type ReadEvent = [seq: number, kind: 'read', path: string, sig: ReadSignature]

export interface ExecutionHooks {
  contents: ContentHashes
  checkpoint(checkpoint: Checkpoint): void
  refused(work: number, why: string): void
  newCheckpointId(): string
  /** Whether a path is in the program's own root file system. */
  own(path: string): boolean
}

interface Asked {
  name: string | null
  kind: 'asked' | 'moment'
  resolve: (checkpoint: Checkpoint) => void
  reject: (error: ThawError) => void
}

/** How a program is copied that does not do so itself. */
export interface Taking {
  /** The program ends once it is copied. */
  stop: boolean
  /** Called while the program stands still and all it had printed was handed over. */
  cut: (crossed: { stdin: number }) => void
}
export type Take = (how: Taking) => Promise<AnyImage>

const INTERRUPTED = 'it was sent a signal'
/** Signals that end a program from outside as a rule. */
const FROM_OUTSIDE = new Set(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGKILL', 'SIGTERM', 'SIGPIPE'])

export const HOOKS_RAN = 'functions ran for a checkpoint that a run from the start would not call'

/** Lines kept of what an interpreter says when a signal ends it. */
const FAULT_LINES = 200

/** How long a program may take to its next safe moment. Milliseconds. */
const ASK_TIMEOUT = 10_000
/** The same where the copy itself takes seconds. */
const ASK_MACHINE_TIMEOUT = 60_000

export class Execution implements BranchListener {
  readonly record: BranchRecord
  readonly recorded: OutputRecord
  readonly flow: OutputFlow
  readonly feed: StdinFeed
  readonly startedAt = Date.now()
  readonly began = performance.now()
  readonly #hooks: ExecutionHooks
  #branch: Branch | null = null
  #ended: { work: number } | null = null
  #lastWork: number
  #unhashed: ReadEvent[] = []
  /** The checkpoint at which the program went no further. */
  stop: Checkpoint | null = null
  /** Why a checkpoint that somebody waited for was impossible, the last time. */
  impossible: string | null = null
  readonly #waiting: Asked[] = []
  /** What was printed and taken when the program last waited to be asked; a branch starts with nothing of its own. */
  #known: { offsets: Offsets; stdin: number }

  constructor(
    record: BranchRecord,
    output: OutputRecord,
    flow: OutputFlow,
    feed: StdinFeed,
    hooks: ExecutionHooks,
  ) {
    this.record = record
    this.#lastWork = record.parent?.work ?? 0
    this.recorded = output
    this.#known = { offsets: output.offsets(), stdin: record.parent?.stdin ?? 0 }
    this.flow = flow
    this.feed = feed
    this.#hooks = hooks
    this.finished = new Promise((resolve) => (this.#finished = resolve))
    flow.onRelaxed = () => this.#branch?.resumeOutput()
    flow.onClosed = (stream) => {
      this.#fromOutside('its output was no longer read')
      this.#branch?.closeOutput(stream)
    }
  }

  #take: Take | null = null
  /** Checkpoints from outside are taken one after the other; resolves when none is on its way. */
  taking: Promise<unknown> = Promise.resolve()
  /** The program has printed something. */
  onOutput: (bytes: Buffer) => void = () => {}

  /** The program is about to change a file of the project. */
  onWrite: (seq: number) => void = () => {}

  /** The program has told where it stands. */
  onFailure: () => void = () => {}

  /** Resolves when the program has ended and everything about it is recorded. */
  readonly finished: Promise<void>
  #finished: () => void = () => {}
  readonly #watchers = new Set<OutputFlow>()

  /**
   * Hands a second caller what is printed from now on, behind what `lead` holds. Returns what ends that, after everything
   * was sent.
   */
  watch(sink: RunSink, lead: Iterable<[StreamName, Uint8Array]>): () => Promise<void> {
    const flow = new OutputFlow(sink)
    flow.onRelaxed = () => this.#branch?.resumeOutput()
    flow.lead(lead).catch(() => {})
    this.#watchers.add(flow)
    return async () => {
      this.#watchers.delete(flow)
      await flow.finished()
    }
  }

  /** The outcome has been recorded. */
  settled(): void {
    this.#finished()
  }

  get branch(): Branch | null {
    return this.#branch
  }

  /**
   * @param stdinConsumed bytes that this branch's past had taken
   * @param take how it is copied from outside; null: it does so itself
   */
  attach(branch: Branch, stdinConsumed: number, take: Take | null = null): void {
    this.#branch = branch
    this.#take = take
    this.feed.attach(branch, stdinConsumed)
  }

  output(stream: 'stdout' | 'stderr', bytes: Buffer): boolean {
    const copy = Buffer.from(bytes)
    this.recorded.append(stream, copy)
    this.onOutput(copy)
    let more = this.flow.push(stream, copy)
    for (const watcher of this.#watchers) more = watcher.push(stream, copy) && more
    return more
  }

  events(list: AgentEvent[]): void {
    const { record } = this
    for (const event of list) {
      record.events.push(event)
      if (event[1] === 'load') this.#loaded(event[0], event[2], event[3])
      else if (event[1] === 'query') this.#asked(event[2], event[3])
      else if (event[1] === 'read' && !this.#hooks.own(event[2])) this.#hashLater(event as ReadEvent)
    }
  }

  write(path: string, seq: number, pre: PreImage, mode: number | null): void {
    // In a root file system of its own: that is part of its checkpoints, and no file of the machine's.
    if (this.#hooks.own(path)) return
    this.record.writes.push({ seq, path, pre, mode })
    this.onWrite(seq)
  }

  cut(stdinConsumed: number): void {
    this.#known = {
      offsets: this.recorded.offsets(),
      stdin: (this.record.parent?.stdin ?? 0) + stdinConsumed,
    }
  }

  failure(message: FailureMessage): void {
    if (message.kind === 'test') return void this.record.failedTests.push(message)
    this.record.failure = message
    this.onFailure()
  }

  fault(line: string): void {
    if (this.record.fault.length < FAULT_LINES) this.record.fault.push(line)
  }

  async checkpoint(image: AnyImage, message: CheckpointMessage): Promise<void> {
    const { record } = this
    this.#lastWork = message.work
    const { offsets, stdin } = this.#known
    const checkpoint: Checkpoint = {
      id: this.#hooks.newCheckpointId(),
      branch: record,
      seq: message.seq,
      kind: this.#kindOf(message),
      hooked: message.hooked,
      name: message.asked ? (this.#waiting[0]?.name ?? null) : message.name,
      before: message.before,
      stack: message.stack,
      work: message.work,
      stdin,
      offsets,
      image,
      state: 'parked',
      memory: null,
      createdAt: Date.now(),
    }
    if (this.recorded.broken !== null) this.#break(message.seq, this.recorded.broken)
    if (stdin > SPOOL_LIMIT || (this.feed.overflow && stdin > 0)) {
      this.#break(message.seq, 'it took more on stdin than is kept')
    }
    record.checkpoints.push(checkpoint)
    if (message.hooked) this.#break(message.seq + 1, HOOKS_RAN)
    this.#hooks.checkpoint(checkpoint)
    if (message.stop) this.stop = checkpoint
    if (message.asked) this.#waiting.shift()?.resolve(checkpoint)
    if (!message.quiet) await this.flow.relaxed()
  }

  #kindOf({ stop, asked, name }: CheckpointMessage): Checkpoint['kind'] {
    if (stop) return 'stop'
    if (asked) return this.#waiting[0]?.kind ?? 'asked'
    return name === null ? 'moment' : 'mark'
  }

  refused(why: string | null, asked: boolean, sandbox: boolean): void {
    if (why === null) return
    if (asked) {
      this.impossible = why
      this.#waiting
        .shift()
        ?.reject(new ThawError('CHECKPOINT_REFUSED', `There can be no checkpoint now: ${why}.`))
    }
    const seq = this.record.events.at(-1)?.[0] ?? 0
    this.record.refusals.push({ work: this.#lastWork, why, seq, sandbox })
    this.#hooks.refused(this.#lastWork, why)
  }

  end(_seq: number, work: number): void {
    this.#ended = { work }
  }

  /**
   * A checkpoint at the program's next safe moment.
   *
   * @param kind whether somebody asked for this one, or only for some
   * @throws ThawError CHECKPOINT_REFUSED with the reason, TIMEOUT when no such moment came
   */
  async ask(name: string | null, kind: 'asked' | 'moment' = 'asked'): Promise<Checkpoint> {
    const branch = this.#branch
    if (branch === null) throw new ThawError('CHECKPOINT_REFUSED', 'The program has not started yet.')
    if (this.#take !== null) return this.takeFromOutside(this.#take, kind, name)
    // An agent that is asked again before it has answered would answer once.
    const answer = this.#asking.then(() => this.#askAgent(branch, name, kind))
    this.#asking = answer.catch(() => {})
    return answer
  }

  #asking: Promise<unknown> = Promise.resolve()

  async #askAgent(branch: Branch, name: string | null, kind: 'asked' | 'moment'): Promise<Checkpoint> {
    let asked: Asked | undefined
    const answer = new Promise<Checkpoint>((resolve, reject) => {
      asked = { name, kind, resolve, reject }
      this.#waiting.push(asked)
    })
    answer.catch(() => {})
    const most = this.record.engine === 'vm' ? ASK_MACHINE_TIMEOUT : ASK_TIMEOUT
    const timer = setTimeout(() => {
      const why = `The program came to no safe moment within ${most / 1000} s: it is inside of one long call.`
      asked?.reject(new ThawError('TIMEOUT', why))
    }, most)
    try {
      await branch.askCheckpoint()
      return await answer
    } finally {
      clearTimeout(timer)
      const at = asked === undefined ? -1 : this.#waiting.indexOf(asked)
      if (at >= 0) this.#waiting.splice(at, 1)
    }
  }

  /**
   * Copies the program as it stands, or stops it there.
   *
   * @throws ThawError with what is in the way; the program goes on
   */
  takeFromOutside(take: Take, kind: 'asked' | 'moment' | 'stop', name: string | null): Promise<Checkpoint> {
    const taken = this.taking.then(() => this.#takeFromOutside(take, kind, name))
    this.taking = taken.catch((error: unknown) => {
      const why = ThawError.from(error).message.replace(/\.$/, '')
      if (kind === 'stop') this.impossible = why
      this.record.refusals.push({ work: this.#lastWork, why, seq: 0, sandbox: false })
      this.#hooks.refused(this.#lastWork, why)
    })
    return taken
  }

  async #takeFromOutside(take: Take, kind: Checkpoint['kind'], name: string | null): Promise<Checkpoint> {
    const { record } = this
    let point = { offsets: this.recorded.offsets(), stdin: 0, work: 0 }
    const image = await take({
      stop: kind === 'stop',
      cut: ({ stdin }) => {
        point = {
          offsets: this.recorded.offsets(),
          stdin: (record.parent?.stdin ?? 0) + stdin,
          work: (record.parent?.work ?? 0) + (performance.now() - this.began) / 1000,
        }
      },
    })
    this.#lastWork = point.work
    const checkpoint: Checkpoint = {
      id: this.#hooks.newCheckpointId(),
      branch: record,
      kind,
      name,
      image,
      ...point,
      ...nowhere(),
      // Nothing orders what it does but these themselves.
      seq: record.checkpoints.length + 1,
      state: 'parked',
      memory: null,
      createdAt: Date.now(),
    }
    record.checkpoints.push(checkpoint)
    this.#hooks.checkpoint(checkpoint)
    if (kind === 'stop') this.stop = checkpoint
    return checkpoint
  }

  /** Sends it to the program's process group. */
  async signal(name: string): Promise<void> {
    this.#fromOutside(INTERRUPTED)
    await this.#branch?.signal(name)
  }

  /**
   * What the program does from here on is an answer to something that no later run would meet. What it reported since its
   * last checkpoint may already be.
   */
  #fromOutside(why: string): void {
    const last = this.record.checkpoints.at(-1) ?? this.record.parent
    this.#break((last?.seq ?? 0) + 1, why)
  }

  /** The program is gone: closes its record. */
  finish(exit: BranchExit): void {
    const { record } = this
    const offsets = this.recorded.offsets()
    this.recorded.close()
    for (const { reject } of this.#waiting) {
      reject(new ThawError('CHECKPOINT_REFUSED', 'The program ended before it came to a safe moment.'))
    }
    const seconds = (performance.now() - this.began) / 1000
    const stdin = (record.parent?.stdin ?? 0) + exit.stdinConsumed
    if (this.recorded.broken !== null) this.#break(Infinity, this.recorded.broken)
    if (exit.signal !== null && FROM_OUTSIDE.has(exit.signal)) this.#break(Infinity, INTERRUPTED)
    record.end = {
      complete: this.#ended !== null,
      code: exit.code,
      signal: exit.signal,
      work: this.#ended?.work ?? (record.parent?.work ?? 0) + seconds,
      stdin,
      stdinEnded: this.feed.ended && this.feed.received === stdin,
      offsets,
      seconds,
    }
    this.feed.close()
  }

  #break(seq: number, why: string): void {
    if (this.record.broken === null || this.record.broken.seq > seq) this.record.broken = { seq, why }
  }

  #loaded(seq: number, file: string, hash: string): void {
    const known = this.record.versions.get(file)
    if (known === undefined) this.record.versions.set(file, { hash, seq })
    // Two versions of one file in one memory: no patch could serve both.
    else if (known.hash !== hash) this.#break(seq, `${file} was edited while the program ran, and read again`)
  }

  #asked(argv: string[], cwd: string): void {
    const { answers, env } = this.record
    const key = queryKey(argv, cwd)
    if (!answers.has(key)) answers.set(key, askQuery(argv, cwd, env, openScope()))
  }

  #hashLater(event: ReadEvent): void {
    if (this.#unhashed.length === 0) {
      setImmediate(() => {
        const events = this.#unhashed
        this.#unhashed = []
        for (const [, , path, sig] of events) this.#hooks.contents.remember(path, sig)
      })
    }
    this.#unhashed.push(event)
  }
}
