/** The streams of one branch: pipes, or a terminal. New ones for every clone. */
import { closeSync, fstatSync } from 'node:fs'
import { makePipe, type Scope, type TerminalMode } from '../../system/index.js'
import type { OutputListener, StreamsSpec, TerminalSize } from '../engine.js'
import { InputPipe, OutputPipe } from '../pipes.js'
import { FIRST_STREAM, type Sandbox } from './sandbox.js'
import { Terminal } from './terminal.js'

/** How an image names the streams its program had: what criu replaces by new ones. Null: /dev/null. */
export type StreamNames =
  | { kind: 'pipes'; stdin: string | null; stdout: string; stderr: string }
  | { kind: 'terminal'; terminal: string; size: TerminalSize }

/** Bytes so far. */
export interface Counts {
  stdin: number
  stdout: number
  stderr: number
}

interface Input {
  readonly written: number
  write(bytes: Uint8Array): Promise<void>
  end(): void
}

export class BranchStreams {
  readonly names: StreamNames
  readonly terminal: Terminal | null
  readonly outputs: readonly (OutputPipe | Terminal)[]
  readonly #input: InputPipe | null
  readonly #printed: Counts
  /** The program's ends, in the order of its descriptors; closed here once they are handed over. */
  #ends: (number | null)[]
  #inputEnded = false

  private constructor(
    parts: Pick<BranchStreams, 'names' | 'terminal' | 'outputs'> & {
      input: InputPipe | null
      ends: (number | null)[]
      printed: Counts
    },
  ) {
    this.names = parts.names
    this.terminal = parts.terminal
    this.outputs = parts.outputs
    this.#input = parts.input
    this.#ends = parts.ends
    this.#printed = parts.printed
  }

  /** A terminal in a sandbox that is there. */
  static async openTerminal(
    size: TerminalSize,
    sandbox: Sandbox,
    listener: OutputListener,
    scope: Scope,
  ): Promise<BranchStreams> {
    const streams = BranchStreams.besideTerminal(size, sandbox, listener)
    sandbox.tell('terminal', streams.terminal?.path ?? '')
    await sandbox.settle(scope)
    return streams
  }

  /** Another terminal in a sandbox, beside the program's. */
  static besideTerminal(
    size: TerminalSize,
    sandbox: Pick<Sandbox, 'inside'>,
    listener: OutputListener,
  ): BranchStreams {
    const printed: Counts = { stdin: 0, stdout: 0, stderr: 0 }
    const terminal = new Terminal(size, sandbox.inside(''), taker(printed, 'stdout', listener))
    const names: StreamNames = { kind: 'terminal', terminal: terminal.key, size }
    return new BranchStreams({ names, terminal, outputs: [terminal], input: null, ends: [], printed })
  }

  /** Pipes for a sandbox that is about to be made. */
  static openPipes(spec: StreamsSpec, listener: OutputListener): BranchStreams {
    const printed: Counts = { stdin: 0, stdout: 0, stderr: 0 }
    const stdin = spec.stdin === 'stream' ? makePipe() : null
    const stdout = makePipe()
    const stderr = spec.joined ? null : makePipe()
    const outputs = [new OutputPipe(pathOf(stdout.reader), taker(printed, 'stdout', listener))]
    closeSync(stdout.reader)
    if (stderr !== null) {
      outputs.push(new OutputPipe(pathOf(stderr.reader), taker(printed, 'stderr', listener)))
      closeSync(stderr.reader)
    }
    const input = stdin === null ? null : new InputPipe(pathOf(stdin.reader))
    if (stdin !== null) closeSync(stdin.writer)
    const ends = [stdin?.reader ?? null, stdout.writer, (stderr ?? stdout).writer]
    const [inName, outName, errName] = ends.map((fd) => (fd === null ? null : nameOf(fd)))
    const names: StreamNames = {
      kind: 'pipes',
      stdin: inName ?? null,
      stdout: outName as string,
      stderr: errName as string,
    }
    return new BranchStreams({ names, terminal: null, outputs, input, ends, printed })
  }

  /** The program's ends, for descriptors 0, 1 and 2; null: none. */
  get ends(): readonly (number | null)[] {
    return this.#ends
  }

  /** Which of PID 1's descriptors become 0, 1 and 2; null: /dev/null. */
  get given(): (number | null)[] {
    if (this.terminal !== null) return [FIRST_STREAM, FIRST_STREAM, FIRST_STREAM]
    return this.#ends.map((fd, i) => (fd === null ? null : FIRST_STREAM + i))
  }

  /** Gives the program what it had not read; `mode` is that of its terminal, where it has one. */
  async giveBack(unread: Buffer, mode: TerminalMode | null): Promise<void> {
    if (this.terminal !== null && mode !== null) await this.terminal.giveBack(unread, mode)
    else if (this.terminal === null) await this.input?.write(unread)
  }

  /** What criu is to put in the place of an image's streams. */
  inherited(old: StreamNames): string[] {
    if (old.kind === 'terminal') return inherit(0, old.terminal)
    const pairs = [...(old.stdin === null ? [] : inherit(0, old.stdin)), ...inherit(1, old.stdout)]
    return old.stderr === old.stdout ? pairs : [...pairs, ...inherit(2, old.stderr)]
  }

  /** The program has its ends: here they are closed, so that their end is seen. */
  handedOver(): void {
    for (const fd of new Set(this.#ends)) if (fd !== null) closeSync(fd)
    this.#ends = []
  }

  get input(): Input | null {
    const pipe = this.terminal ?? this.#input
    if (pipe === null) return null
    return {
      get written() {
        return pipe.written
      },
      write: (bytes) => pipe.write(bytes),
      end: () => {
        this.#inputEnded = true
        pipe.end(Promise.resolve())
      },
    }
  }

  /** Whether the caller has said that no more will come. */
  get inputEnded(): boolean {
    return this.#inputEnded
  }

  /** Hands over everything printed so far, and returns what has crossed. Prerequisite: the program stands still. */
  async cut(): Promise<Counts & { unread: Buffer }> {
    for (const output of this.outputs) output.drain()
    if (this.terminal !== null) {
      // What was printed reaches a terminal's other side by way of a worker of the kernel.
      await new Promise((resolve) => setTimeout(resolve, 2))
      this.terminal.drain()
    }
    const unread = (await this.terminal?.unread()) ?? this.#input?.unread() ?? Buffer.alloc(0)
    return { ...this.#printed, stdin: (this.input?.written ?? 0) - unread.length, unread }
  }

  /** Prerequisite: the program is gone. Returns how many bytes of stdin it had taken. */
  close(shared: boolean): number {
    this.handedOver()
    const taken = this.#input?.close() ?? this.terminal?.written ?? 0
    for (const output of this.outputs) {
      output.drain()
      if (shared) output.discard()
      else output.close()
    }
    return taken
  }
}

function taker(printed: Counts, stream: 'stdout' | 'stderr', listener: OutputListener) {
  return (bytes: Buffer): boolean => {
    printed[stream] += bytes.length
    return listener.output(stream, bytes)
  }
}

function pathOf(fd: number): string {
  // A description of its own: the program's end must not become non-blocking.
  return `/proc/self/fd/${fd}`
}

function nameOf(fd: number): string {
  return `pipe:[${fstatSync(fd).ino}]`
}

function inherit(stream: number, name: string): string[] {
  return ['--inherit-fd', `fd[${FIRST_STREAM + stream}]:${name}`]
}
