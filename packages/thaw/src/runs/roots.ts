/** Root file systems of runs: what programs in them see of the machine, and how thaw asks and helps them from within. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import type { RootFiles } from '@thaw/protocol'
import type { StartHost } from '../engines/fork/host.js'
import type { Family } from '../engines/fork/family.js'
import { ProcessGroup } from '../engines/process/group.js'
import type { ProcessEngine } from '../engines/process/process.js'
import type { ProcessBranch } from '../engines/process/branch.js'
import type { Seen } from '../engines/process/setting.js'
import { checkPlace, isWithin, RootView } from '../files/root.js'
import type { Inside } from '../languages/index.js'
import {
  agentsDirectory,
  grant,
  openScope,
  ownAllowance,
  preparePrivate,
  ThawError,
  withTimeout,
  type Log,
  type Paths,
  type Scope,
} from '../system/index.js'
import type { Root } from './lineage.js'
import type { Run } from './run.js'

/** For one question. Milliseconds. */
const PATIENCE = 20_000

export class Roots implements AsyncDisposable {
  readonly #engine: ProcessEngine
  readonly #paths: Paths
  readonly #log: Log
  #group: ProcessGroup | null = null

  constructor(engine: ProcessEngine, paths: Paths, log: Log) {
    this.#engine = engine
    this.#paths = paths
    this.#log = log
  }

  /**
   * A root file system as the languages see it.
   *
   * @throws ThawError UNSUPPORTED where the project cannot be shown in it
   */
  inside({ directory, key }: RootFiles, project: string, scope: Scope): Inside {
    checkPlace(directory, project)
    const view = new RootView(directory, project)
    return {
      key,
      real: (path) => view.real(path),
      ask: (command, env) => this.#ask(directory, command, env, scope),
    }
  }

  /** What has come from there must not reach programs elsewhere. */
  cacheOf({ directory, key }: RootFiles): string {
    const name = createHash('sha256').update(`${directory}\0${key}`).digest('hex').slice(0, 32)
    const path = join(this.#paths.cache, 'roots', name)
    preparePrivate(path)
    return path
  }

  /** What a program of the run sees of the machine. */
  seen(run: Run, family: Family): Seen[] {
    const { project } = run.identity
    const own = [project, run.store, family.cache, family.directory]
    return [...own.map((path) => ({ path, writable: true })), AGENT()]
  }

  /** Starts what answers questions about code, under the interpreter that is there. */
  hostIn(files: RootFiles, project: string): StartHost {
    const seen = [project, this.cacheOf(files)].map((path) => ({ path, writable: true }))
    return async (argv) => {
      const said = { stdout: new PassThrough(), stderr: new PassThrough() }
      const branch = await this.#launch(
        files.directory,
        argv,
        {},
        [...seen, AGENT()],
        (stream, bytes) => void said[stream].write(bytes),
        openScope(this.#log),
      )
      const exited = branch.exited.then(({ code, signal }) => {
        for (const stream of [said.stdout, said.stderr]) stream.end()
        return { code, signal, timedOut: false, forced: false }
      })
      const send = async (bytes: Buffer, done: (error?: Error) => void) => {
        try {
          await branch.writeStdin(bytes)
          done()
        } catch (error) {
          done(error as Error)
        }
      }
      const stdin = new Writable({
        write: (bytes: Buffer, _encoding, done) => void send(bytes, done),
        final: (done) => {
          branch.endStdin()
          done()
        },
      })
      return { ...said, stdin, exited, signal: (name) => void branch.signal(name) }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#group?.[Symbol.asyncDispose]()
  }

  async #ask(
    root: string,
    command: string[],
    env: Record<string, string>,
    scope: Scope,
  ): Promise<string | null> {
    const parts: Buffer[] = []
    const bounded = withTimeout(scope, PATIENCE)
    const hear = (stream: 'stdout' | 'stderr', bytes: Buffer) => {
      if (stream === 'stdout') parts.push(bytes)
    }
    const branch = await this.#launch(root, command, env, [], hear, bounded)
    const stop = () => branch.end()
    bounded.signal.addEventListener('abort', stop, { once: true })
    try {
      const { code } = await branch.exited
      return code === 0 ? Buffer.concat(parts).toString('utf8').trimEnd() : null
    } finally {
      bounded.signal.removeEventListener('abort', stop)
      await branch[Symbol.asyncDispose]()
    }
  }

  #launch(
    root: string,
    argv: string[],
    env: Record<string, string>,
    seen: readonly Seen[],
    hear: (stream: 'stdout' | 'stderr', bytes: Buffer) => void,
    scope: Scope,
  ): Promise<ProcessBranch> {
    const place = join(this.#paths.state, 'roots')
    this.#group ??= ProcessGroup.open(join(place, 'images'), join(place, 'work'), this.#log)
    return this.#engine.launch(
      this.#group,
      {
        branch: 'root',
        argv,
        env,
        cwd: '/',
        umask: 0o077,
        allowance: grant(ownAllowance()).given,
        streams: { stdin: 'stream', joined: false, terminal: null },
        listener: {
          output: (stream, bytes) => {
            hear(stream, Buffer.from(bytes))
            return true
          },
        },
        root,
        layered: true,
        seen,
        accounted: true,
      },
      scope,
    )
  }
}

const AGENT = (): Seen => ({ path: join(agentsDirectory(), 'python'), writable: false })

/** @throws ThawError UNSUPPORTED where it is to have a view of the project of its own */
export function rootOf(
  { files }: Root,
  isPrivate: boolean,
  seen: () => Seen[],
): { root: string | null; layered: boolean; seen: Seen[] } {
  if (files === null) return { root: null, layered: false, seen: [] }
  if (isPrivate) {
    throw new ThawError(
      'UNSUPPORTED',
      'A program with a root file system of its own has no private view of its project.',
      { hint: 'Resume one branch at a time, while nothing else of the run is live.' },
    )
  }
  return { root: files.directory, layered: true, seen: seen() }
}

/** Whether a path of a program is in its own root file system, where nobody else changes anything. */
export function ownIn(files: RootFiles | null, project: string): (path: string) => boolean {
  return (path) => files !== null && !isWithin(path, project)
}
