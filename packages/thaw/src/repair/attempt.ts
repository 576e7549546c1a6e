/** One attempt of the program, watched: what it prints, how it ends, where it stood. */
import type { RunReport, SignalName } from '@thaw/protocol'
import type { FailureMessage } from '@thaw/protocol/agent'
import type { RunHandle, Runs, RunSink, StreamName } from '../runs/index.js'
import { chainOf, type BranchRecord } from '../runs/lineage.js'
import type { Input } from './input.js'
import { Tail } from './tail.js'

/** Bytes kept of what it printed last. */
const OUTPUT_KEPT = 16 * 1024
/** Bytes of stderr in which a failure is looked for. */
const SEARCHED = 1024 * 1024

/** Frames of the agent in what an interpreter says of its end. */
const OWN_FRAME = /^ {2}File "(.*\/thaw_agent\/.*|<thaw>)"/

export interface Attempted {
  report: RunReport
  output: Record<StreamName, string>
  /** All of stderr, up to a limit. */
  errors: string
  told: FailureMessage | null
  /** Where tests stood that failed, before a checkpoint it went on from as well. */
  toldTests: readonly FailureMessage[]
  fault: string
  timedOut: boolean
  /** Null for a program that ran plainly. */
  record: BranchRecord | null
  branch: string
  seconds: number
}

/** Begins an attempt whose output goes to the sink. One beside the run brings its record. */
export type Begin = (sink: RunSink) => Promise<RunHandle<RunReport> & { record?: BranchRecord }>

export class Attempt {
  readonly #runs: Runs
  readonly #input: Input
  readonly #ends: AbortSignal
  #handle: RunHandle<RunReport> | null = null

  /** @param ends when the program is killed, whatever it does */
  constructor(runs: Runs, input: Input, ends: AbortSignal) {
    this.#runs = runs
    this.#input = input
    this.#ends = ends
  }

  /**
   * @param sinkFor makes the sink of the attempt
   * @param seconds after which it hangs
   * @param consumed bytes of stdin that it has taken before it begins
   */
  async run(
    begin: Begin,
    sinkFor: (started: RunSink['started'], also: (stream: StreamName, chunk: Uint8Array) => void) => RunSink,
    seconds: number,
    consumed: number,
  ): Promise<Attempted> {
    const from = performance.now()
    const ends = { stdout: new Tail(OUTPUT_KEPT), stderr: new Tail(OUTPUT_KEPT) }
    const errors = new Tail(SEARCHED)
    let ids = { run: '', branch: '' }
    let standing: FailureMessage | null = null
    let timedOut = false
    let timer: NodeJS.Timeout | undefined
    const sink = sinkFor(
      (started) => (ids = started),
      (stream, chunk) => {
        ends[stream].add(chunk)
        if (stream === 'stderr') errors.add(chunk)
      },
    )
    const handle = await begin(sink)
    this.#handle = handle
    const kill = () => void handle.signal('SIGKILL').catch(() => {})
    this.#ends.addEventListener('abort', kill, { once: true })
    if (this.#ends.aborted) kill()
    try {
      void this.#input.feed(handle, consumed)
      const hang = async () => {
        timedOut = true
        standing = await this.#runs.standing(ids.branch)
        await handle.signal('SIGKILL')
      }
      if (Number.isFinite(seconds)) timer = setTimeout(() => void hang().catch(() => {}), seconds * 1000)
      const report = await handle.done
      const record = handle.record ?? this.#runs.recordOf(report.run, ids.branch)
      return {
        report,
        output: { stdout: ends.stdout.text(), stderr: ends.stderr.text() },
        errors: errors.text(),
        told: timedOut ? standing : (record?.failure ?? null),
        toldTests: record === null ? [] : chainOf(record).flatMap(({ failedTests }) => failedTests),
        fault: record?.fault.filter((line) => !OWN_FRAME.test(line)).join('\n') ?? '',
        timedOut,
        record,
        branch: ids.branch,
        seconds: (performance.now() - from) / 1000,
      }
    } finally {
      clearTimeout(timer)
      this.#ends.removeEventListener('abort', kill)
      this.#handle = null
    }
  }

  async signal(name: SignalName): Promise<void> {
    await this.#handle?.signal(name)
  }

  async resize(rows: number, cols: number): Promise<void> {
    await this.#handle?.resize(rows, cols)
  }
}
