import type { RunReport } from '@thaw/protocol'
import { ThawError, errorLine } from '@thaw/protocol/errors'
import { NodeClient } from '@thaw/sdk/node'
import { RunStream } from '@thaw/sdk/run-stream'
import { relative } from 'node:path'
import { signalCode } from '../../system/exit-code.js'
import { findPaths, type Paths } from '../../system/paths.js'
import { BUILD } from '../../version.js'
import { withDaemon } from '../connect.js'
import { outputTo, say } from '../output.js'
import { exit as exitText } from '../render/units.js'
import { parseRunArguments, type RunArguments } from '../run-arguments.js'
import { makeRequest } from '../run.js'
import { ioOf, openReport } from '../session.js'
import { Repetition } from './repetition.js'
import { Saves } from './saves.js'
import { FileTree, type FileChange } from './tree.js'

/** Milliseconds that a stopped program has to end by itself. */
const GRACE = 2000
/** Milliseconds that the kernel's word of a change may take. */
const EVENTS_LATE = 10
const BROKEN_PIPE = 141

/** `thaw watch`. @returns the exit code, once it was interrupted */
export async function watch(argv: readonly string[]): Promise<number> {
  const given = parseRunArguments(argv)
  if (given.help) {
    const { WATCH_HELP } = await import('./help.js')
    process.stdout.write(WATCH_HELP)
    return 0
  }
  using watcher = new Watcher(given)
  return watcher.watch()
}

class Watcher implements Disposable {
  readonly #given: RunArguments
  readonly #paths: Paths = findPaths()
  readonly #client = new NodeClient(this.#paths.socket)
  readonly #outputs = { stdout: outputTo(1), stderr: outputTo(2) }
  readonly #report: ReturnType<typeof openReport> | null
  readonly #tree = new FileTree(() => void this.#onBurst())
  readonly #saves = new Saves()
  #stream: RunStream | null = null
  /** The run that the files belong to. */
  #run: string | null = null
  /** The branch whose output was shown last, and that output; the latter null where the next run is shown in any case. */
  #shown: string | null = null
  #before: ReturnType<Repetition['shown']> = null
  #written: readonly string[] = []
  /** What is to be run again for. */
  #saved: FileChange | null = null
  /** The daemon has been asked about the run that is under way. */
  #learned: Promise<void> = Promise.resolve()
  #stopped = false
  #wake: () => void = () => {}
  #left: number | null = null
  #interrupts = 0

  constructor(given: RunArguments) {
    this.#given = given
    this.#report = given.report === null ? null : openReport(given.report)
  }

  async watch(): Promise<number> {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) {
      process.on(name, () => this.#leave(name))
    }
    for (let first = true; this.#left === null; first = false) {
      try {
        await this.#once()
      } catch (error) {
        if (this.#left !== null) break
        const known = ThawError.from(error)
        // What is wrong from the start is for the caller to correct, not for a save.
        if (first) throw known
        say(errorLine(known))
      }
      while (this.#saved === null && this.#left === null) {
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    }
    return this.#left ?? 0
  }

  [Symbol.dispose](): void {
    this.#tree[Symbol.dispose]()
  }

  async #once(): Promise<void> {
    this.#saved = null
    this.#stopped = false
    this.#saves.begin()
    this.#tree.begin()
    let branch = ''
    let quiet = this.#given.quiet
    const unchanged = () => branch === this.#shown
    using output = new Repetition(this.#before, (name, chunk) => this.#write(name, chunk))
    const pass = (name: 'stdout' | 'stderr') => (chunk: Uint8Array) =>
      unchanged() ? undefined : output.take(name, chunk)
    const request = makeRequest(this.#given, ioOf('null', this.#given.terminal))
    const stream = await withDaemon(this.#paths, () =>
      RunStream.open(
        this.#paths.socket,
        '/v1/runs/stream',
        request,
        {
          onStarted: (message) => {
            branch = message.branch
            ;({ quiet } = message)
            if (!quiet) for (const notice of message.notices) say(`thaw: ${notice}`)
            this.#learned = this.#learn(message.run)
          },
          onStdout: pass('stdout'),
          onStderr: pass('stderr'),
        },
        BUILD,
      ),
    )
    this.#stream = stream
    if (this.#left !== null) stream.destroy()
    let end
    try {
      end = await stream.done
    } catch (error) {
      await output.show()
      throw error
    } finally {
      await this.#settle()
      this.#stream = null
    }
    if (end.t !== 'done') throw new ThawError('INTERNAL', 'The stream of a run ended as that of a branch.')
    await this.#learnBelow(end.report)
    this.#report?.write(`${JSON.stringify(end.report, null, 2)}\n`)
    if (unchanged()) return
    this.#shown = branch
    const { exit, outcome } = end.report
    const stopped = this.#stoppedBy()
    // A run from the start did all its work again: that is worth a line, and its output.
    if (stopped === null && outcome !== 'cold' && output.isWhole(exitText(exit))) return
    await output.show()
    this.#before = stopped === null ? output.shown(exitText(exit)) : null
    await Promise.all([this.#outputs.stdout.flush(), this.#outputs.stderr.flush()])
    if (quiet) return
    say(`thaw: ${clock()} ${stopped ?? `${end.summary}, ${exitText(exit)}`}`)
  }

  #stoppedBy(): string | null {
    return this.#stopped && this.#saved !== null
      ? `stopped, ${relative(process.cwd(), this.#saved.path)} was saved`
      : null
  }

  async #write(name: 'stdout' | 'stderr', chunk: Uint8Array): Promise<void> {
    try {
      await this.#outputs[name].write(chunk)
    } catch {
      this.#stream?.destroy()
      this.#left = BROKEN_PIPE
    }
  }

  /** What the program's last acts changed is its own. */
  async #settle(): Promise<void> {
    await this.#learned
    if (this.#run !== null) await this.#learn(this.#run)
    await new Promise((resolve) => setTimeout(resolve, EVENTS_LATE))
    this.#tree.suspect(this.#written)
    this.#take(true)
  }

  async #onBurst(): Promise<void> {
    const running = this.#stream !== null
    if (running && this.#run !== null) await this.#learn(this.#run)
    if (!this.#take(running)) return
    const stream = this.#stream
    if (stream === null) return this.#wake()
    this.#stopped = true
    stream.signal('SIGTERM')
    const timer = setTimeout(() => stream.signal('SIGKILL'), GRACE)
    const over = () => clearTimeout(timer)
    stream.done.then(over, over)
  }

  /** Whether there was a save among what has changed. */
  #take(running: boolean): boolean {
    const [save] = this.#saves.among(this.#tree.take(), running)
    if (save !== undefined) this.#saved = save
    return save !== undefined
  }

  async #learn(run: string): Promise<void> {
    try {
      const inputs = await this.#client.runs.inputs(run)
      if (this.#run !== run) this.#tree.addTree(inputs.project)
      this.#run = run
      for (const path of inputs.used) this.#tree.addFile(path)
      for (const path of inputs.listed) this.#tree.addDirectory(path)
      this.#written = inputs.written
      this.#saves.learn(inputs)
    } catch (error) {
      if (!(error instanceof ThawError) || error.code === 'WATCH_LIMIT') {
        say(errorLine(ThawError.from(error)))
        this.#left ??= 125
        this.#stream?.destroy()
        this.#wake()
      }
      // A daemon that has gone: the next run starts another.
    }
  }

  /** Below a launcher, too, what programs write is no save. */
  async #learnBelow(report: RunReport): Promise<void> {
    for (const run of new Set(report.below?.map((entry) => entry.run))) {
      if (run === null) continue
      const { written } = await this.#client.runs.inputs(run)
      this.#saves.disown(written)
    }
  }

  #leave(name: NodeJS.Signals): void {
    this.#left = signalCode(name)
    this.#interrupts++
    this.#stream?.signal(this.#interrupts > 1 ? 'SIGKILL' : name)
    this.#wake()
  }
}

function clock(): string {
  return new Date().toTimeString().slice(0, 8)
}
