import { SHELL, type ExecRequestInput, type ProgramExit } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { FrameStream, type Connection } from './frame-stream.js'

export interface TerminalOptions extends Pick<ExecRequestInput, 'env' | 'cwd' | 'user'> {
  /** Default: bash where there is one, else sh. */
  command?: readonly string[]
  rows?: number
  cols?: number
  /** What appears on it, as bytes; a promise holds the program back until it resolves. */
  onOutput(bytes: Uint8Array): void | Promise<void>
}

/** A terminal in an instance, with a program in it. Closing it ends the program. */
export class Terminal implements AsyncDisposable {
  /** How the program ended. Rejects when the terminal was closed before. */
  readonly exited: Promise<ProgramExit>
  readonly #stream: FrameStream
  /** What was typed and may not be sent yet. */
  readonly #typed: Uint8Array[] = []
  /** Bytes that the daemon takes at the moment. */
  #credit = 0

  constructor(connection: Connection, options: TerminalOptions) {
    const { command = SHELL, rows = 24, cols = 80, onOutput, ...rest } = options
    const first: ExecRequestInput = {
      ...rest,
      command: [...command],
      terminal: { rows, cols },
      stdin: 'stream',
    }
    this.#stream = new FrameStream(connection, first, {
      onStdout: onOutput,
      onStdinWanted: (bytes) => {
        this.#credit += bytes
        this.#send()
      },
    })
    this.exited = this.#stream.done.then((end) => {
      if (end.t === 'exited') return end.exit
      throw new ThawError('INTERNAL', 'The stream of a terminal ended as that of a run.')
    })
    this.exited.catch(() => {})
  }

  /** Types; text is sent as UTF-8. */
  write(typed: string | Uint8Array): void {
    this.#typed.push(typeof typed === 'string' ? new TextEncoder().encode(typed) : typed)
    this.#send()
  }

  resize(rows: number, cols: number): void {
    this.#stream.resize(rows, cols)
  }

  /** @param name as `SIGTERM`; Ctrl-C is typed: `write('\x03')` */
  signal(name: string): void {
    this.#stream.signal(name)
  }

  /** Its program is told as by a closed window, and ended when that does not help. */
  close(): void {
    this.#stream.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    await this.exited.catch(() => {})
  }

  #send(): void {
    while (this.#credit > 0) {
      const next = this.#typed.shift()
      if (next === undefined) return
      const piece = next.subarray(0, this.#credit)
      if (piece.length < next.length) this.#typed.unshift(next.subarray(piece.length))
      this.#credit -= piece.length
      if (piece.length > 0) this.#stream.stdin(piece)
    }
  }
}
