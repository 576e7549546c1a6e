/** Programs beside those of a service, in what it lives in: shells. They are part of no checkpoint, and end with it. */
import type { OutputListener, StreamsSpec, TerminalSize } from '../engines/engine.js'
import { BranchStreams } from '../engines/process/streams.js'
import type { Beside } from '../snapshots/instances/body.js'
import { openScope, startProcess, type Child, type Scope } from '../system/index.js'

export interface BesideSpec {
  argv: readonly string[]
  env: Readonly<Record<string, string>>
  cwd: string
  streams: StreamsSpec
  listener: OutputListener
}

/** Makes the terminal named first that of the session it is started in. */
const IN_TERMINAL = ['/bin/sh', '-c', 'exec "$@" <>"$0" >&0 2>&0'] as const

/** Beside plain processes: a plain process. */
export class PlainBeside implements Beside {
  readonly exited: Promise<{ code: number | null; signal: string | null }>
  readonly #child: Child
  readonly #streams: BranchStreams

  private constructor(child: Child, streams: BranchStreams) {
    this.#child = child
    this.#streams = streams
    this.exited = child.exited.then(async ({ code, signal }) => {
      // What it left running may hold the streams open: what is there is handed over, and that is all.
      await new Promise((resolve) => setImmediate(resolve))
      streams.close(false)
      return { code, signal }
    })
  }

  /** @throws ThawError COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE */
  static async start({ argv, env, cwd, ...spec }: BesideSpec, scope: Scope): Promise<PlainBeside> {
    const { terminal } = spec.streams
    const here = { inside: (path: string) => path }
    const streams =
      terminal === null
        ? BranchStreams.openPipes(spec.streams, spec.listener)
        : BranchStreams.besideTerminal(terminal, here, spec.listener)
    const path = streams.terminal?.path
    const command = path === undefined ? argv : [...IN_TERMINAL, path, ...argv]
    const stdio = path === undefined ? streams.ends.map((fd) => fd ?? ('ignore' as const)) : ALONE
    try {
      const child = await startProcess(
        command,
        { cwd, env: { ...env }, stdio: [...stdio] },
        openScope(scope.log),
      )
      streams.handedOver()
      return new PlainBeside(child, streams)
    } catch (error) {
      streams.close(false)
      throw error
    }
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

const ALONE = ['ignore', 'ignore', 'ignore'] as const
