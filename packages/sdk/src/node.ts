import type {
  AttachFrom,
  AttachRequestInput,
  BranchNode,
  RepairBundle,
  RepairReport,
  RepairRequestInput,
  RunReport,
  RunRequestInput,
} from '@thaw/protocol'
import { ThawError } from '@thaw/protocol'
import { resolve } from 'node:path'
import { Client } from './client.js'
import { RunStream } from './run-stream.js'
import type { ServiceHandle, ServiceInput } from './services.js'
import { socketTransport } from './socket-transport.js'

export * from './index.js'
export { RunStream, type StreamEnd, type StreamHandlers } from './run-stream.js'
export { socketTransport } from './socket-transport.js'

export interface RunOptions extends Partial<Omit<RunRequestInput, 'command' | 'stdin'>> {
  onStdout?(chunk: Uint8Array): void | Promise<void>
  onStderr?(chunk: Uint8Array): void | Promise<void>
  /** Bytes for the program's stdin; nothing when left out. */
  stdin?: AsyncIterable<Uint8Array> | Uint8Array
  /** Stops the run. */
  signal?: AbortSignal
}

export type FollowOptions = Pick<RunOptions, 'onStdout' | 'onStderr' | 'signal'> & { from?: AttachFrom }

export interface RunResult {
  report: RunReport
  /** In thaw's words, what was skipped and how long it took. */
  summary: string
}

/**
 * Who edits, as a function: asked with all that is known of a failure.
 *
 * @param directory a copy of the project, which may be edited
 * @returns a unified diff; null where the files in `directory` were edited; `give up`: there is no answer
 */
export type Repair = (
  bundle: RepairBundle,
  directory: string,
) => Promise<string | null | typeof GIVE_UP> | string | null | typeof GIVE_UP
export const GIVE_UP = Symbol('give up')

export interface RepairOptions
  extends Partial<Omit<RepairRequestInput, 'run' | 'repairer'>>, Omit<RunOptions, 'stdin'> {
  /** A function, or one of those that `thaw repair` has. */
  repairer: Repair | RepairRequestInput['repairer']
  /** A line of thaw's own words; `detail`: for those who want to know all. */
  onNote?(text: string, detail: boolean): void
}

export interface RepairResult {
  report: RepairReport
  /** In thaw's words, what came of it. */
  summary: string
}

/** A client of the daemon on this machine, which must be running (`thaw daemon start`). */
export class NodeClient extends Client {
  readonly #socketPath: string

  /** @param build when given, a daemon of another build refuses with VERSION_MISMATCH */
  constructor(socketPath: string, build?: string) {
    super(socketTransport(socketPath, build))
    this.#socketPath = socketPath
  }

  /**
   * Runs a command, exactly, skipping what an earlier run already did.
   *
   * @throws ThawError what the catalogue says for `thaw run`; CANCELLED when `signal` was aborted
   */
  async run(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const { onStdout, onStderr, stdin, signal, ...rest } = options
    const request: RunRequestInput = {
      command: [...command],
      cwd: process.cwd(),
      env: environment(),
      ...rest,
      stdin: stdin === undefined ? 'null' : 'stream',
    }
    const source = stdin === undefined ? undefined : new StdinSource(stdin)
    const owner: { stream?: RunStream } = {}
    const opened = await RunStream.open(this.#socketPath, '/v1/runs/stream', request, {
      ...(onStdout === undefined ? {} : { onStdout }),
      ...(onStderr === undefined ? {} : { onStderr }),
      onStdinWanted: (bytes) => void source?.feed(bytes, () => owner.stream),
    })
    owner.stream = opened
    const onAbort = () => opened.destroy()
    if (signal?.aborted === true) onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      const end = await opened.done
      if (end.t !== 'done') throw new ThawError('INTERNAL', 'The stream of a run ended as that of a branch.')
      return { report: end.report, summary: end.summary }
    } catch (error) {
      if (signal?.aborted === true)
        throw new ThawError('CANCELLED', 'The run was stopped by its caller.', { cause: error })
      throw error
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /**
   * Runs a command; when it fails, has it edited, and goes on with the edit in effect.
   *
   * @throws ThawError what the catalogue says for `thaw repair`, what `repairer` throws; CANCELLED when `signal` was
   *   aborted. A program that could not be repaired is no error: `report.outcome` is `failed`
   */
  async repair(command: readonly string[], options: RepairOptions): Promise<RepairResult> {
    const { onStdout, onStderr, onNote, signal, repairer, ...rest } = options
    const { mode, candidates, check, stderr, at, max_saves, verify, keep, bounds, ...run } = rest
    const request: RepairRequestInput = {
      run: { cwd: process.cwd(), env: environment(), ...run, command: [...command], stdin: 'null' },
      repairer: typeof repairer === 'function' ? { kind: 'caller' } : repairer,
      mode,
      candidates,
      check,
      stderr,
      at,
      max_saves,
      verify,
      keep,
      bounds,
    }
    let failed: { error: unknown } | null = null
    const answer = async (stream: RunStream, bundle: RepairBundle, directory: string) => {
      if (typeof repairer !== 'function') return
      try {
        const given = await repairer(bundle, directory)
        stream.answer(given === GIVE_UP ? { giveUp: true } : { diff: given })
      } catch (error) {
        failed = { error }
        stream.answer({ giveUp: true })
      }
    }
    const opened: RunStream = await RunStream.open(this.#socketPath, '/v1/repairs/stream', request, {
      ...(onStdout === undefined ? {} : { onStdout }),
      ...(onStderr === undefined ? {} : { onStderr }),
      onNote: ({ text, detail }) => onNote?.(text, detail),
      onQuestion: ({ bundle, directory }) => void answer(opened, bundle, directory),
    })
    const onAbort = () => opened.destroy()
    if (signal?.aborted === true) onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      const end = await opened.done
      if (failed !== null) throw (failed as { error: unknown }).error
      if (end.t !== 'repaired')
        throw new ThawError('INTERNAL', 'The stream of a repair ended as that of a run.')
      return { report: end.report, summary: end.summary }
    } catch (error) {
      if (signal?.aborted === true)
        throw new ThawError('CANCELLED', 'The repair was stopped by its caller.', { cause: error })
      throw error
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** As for any client, and a relative module lies below this process's directory. */
  override service(input: ServiceInput): Promise<ServiceHandle> {
    return super.service({ ...input, module: resolve(input.module) })
  }

  /**
   * Follows what a branch (or the newest of a run) prints, until it ends or `signal` is aborted; it is not disturbed.
   *
   * @param options.from `start`: what it has printed so far comes first, also of one that has ended
   * @throws ThawError RUN_NOT_FOUND; CANCELLED when `signal` was aborted
   */
  async follow(id: string, options: FollowOptions = {}): Promise<BranchNode> {
    const { onStdout, onStderr, from, signal } = options
    const first: AttachRequestInput = from === undefined ? {} : { from }
    const opened = await RunStream.open(
      this.#socketPath,
      `/v1/branches/${encodeURIComponent(id)}/stream`,
      first,
      { ...(onStdout === undefined ? {} : { onStdout }), ...(onStderr === undefined ? {} : { onStderr }) },
    )
    const onAbort = () => opened.destroy()
    if (signal?.aborted === true) onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      const end = await opened.done
      if (end.t !== 'ended') throw new ThawError('INTERNAL', 'The stream of a branch ended as that of a run.')
      return end.branch
    } catch (error) {
      if (signal?.aborted === true)
        throw new ThawError('CANCELLED', 'It is not followed any more.', { cause: error })
      throw error
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }
}

/** This process's environment, as a request carries it. */
export function environment(): Record<string, string> {
  return { ...process.env } as Record<string, string>
}

/** Hands out stdin in the portions that are asked for. */
class StdinSource {
  readonly #parts: AsyncIterator<Uint8Array>
  #left: Uint8Array = new Uint8Array(0)
  #credit = 0
  #busy = false
  #ended = false

  constructor(from: AsyncIterable<Uint8Array> | Uint8Array) {
    this.#parts = (from instanceof Uint8Array ? single(from) : from)[Symbol.asyncIterator]()
  }

  async feed(bytes: number, to: () => RunStream | undefined): Promise<void> {
    this.#credit += bytes
    if (this.#busy || this.#ended) return
    this.#busy = true
    while (this.#credit > 0 && !this.#ended) {
      if (this.#left.length === 0) {
        const next = await this.#parts.next()
        if (next.done === true) {
          this.#ended = true
          to()?.stdinEnd()
          break
        }
        this.#left = next.value
      }
      const piece = this.#left.subarray(0, this.#credit)
      this.#left = this.#left.subarray(piece.length)
      this.#credit -= piece.length
      if (piece.length > 0) to()?.stdin(piece)
    }
    this.#busy = false
  }
}

async function* single(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}
