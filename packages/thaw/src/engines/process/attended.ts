/** A program beside another, with streams of its own that somebody attends to: a shell, a command in an instance. */
import type { Child, Exit } from '../../system/index.js'
import type { TerminalSize } from '../engine.js'
import type { BranchStreams } from './streams.js'

export class Attended implements AsyncDisposable {
  readonly exited: Promise<Pick<Exit, 'code' | 'signal'>>
  /** As seen from here; of a program in a sandbox, of what stands outside for it. */
  readonly pid: number
  readonly #child: Child
  readonly #streams: BranchStreams

  constructor(child: Child, streams: BranchStreams) {
    this.#child = child
    this.pid = child.pid
    this.#streams = streams
    this.exited = child.exited.then(async ({ code, signal }) => {
      // What it left running may hold the streams open: what is there is handed over, and that is all.
      await new Promise((resolve) => setImmediate(resolve))
      streams.close(false)
      return { code, signal }
    })
  }

  async writeStdin(bytes: Uint8Array): Promise<void> {
    await this.#streams.input?.write(bytes)
  }

  endStdin(): void {
    this.#streams.input?.end()
  }

  resumeOutput(): void {
    for (const output of this.#streams.outputs) output.resume()
  }

  resize(size: TerminalSize): void {
    this.#streams.terminal?.resize(size)
  }

  /** To its process group. */
  signal(name: NodeJS.Signals): void {
    this.#child.signal(name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A shell lets SIGTERM pass, and hands this one on to its jobs.
    if (this.#streams.terminal !== null) this.signal('SIGHUP')
    await this.#child[Symbol.asyncDispose]()
    await this.exited
  }
}
