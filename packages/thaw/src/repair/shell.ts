/** One command line of the user's: a repairer, or a check. Ends with the daemon, in time, and with bounded output. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { BranchListener } from '../engines/engine.js'
import { Family } from '../engines/fork/family.js'
import { privateProgram, type ProjectCopy } from '../runs/verify/copy.js'
import type { Workshop } from '../runs/workshop.js'
import { grant, ownAllowance, ThawError, type Scope } from '../system/index.js'
import { Tail } from './tail.js'
import { makeTemporary } from './temporary.js'

/** Bytes of stdout; beyond that, the answer is endless. */
const OUTPUT_LIMIT = 4 * 1024 * 1024
/** Bytes of stderr that are kept. */
const SAID_LIMIT = 16 * 1024

export interface ShellSpec {
  /** For /bin/sh. */
  command: string
  cwd: string
  env: Record<string, string>
  stdin: string
  /** What it sees in the project's place; null: the project itself. */
  view: ProjectCopy | null
  seconds: number
}

export interface ShellEnd {
  code: number | null
  signal: string | null
  stdout: string
  /** The end of stderr. */
  said: string
  /** Why it was ended; null where it ended by itself. */
  ended: string | null
}

/** @throws ThawError ENGINE_FAILED, CANCELLED */
export async function runShell(shop: Workshop, spec: ShellSpec, scope: Scope): Promise<ShellEnd> {
  const python = await shop.anyPython(scope)
  const { paths, engine } = shop
  const work = makeTemporary(paths)
  const failure = join(work, 'failure')
  const parts: Buffer[] = []
  const said = new Tail(SAID_LIMIT)
  let size = 0
  let ended: string | null = null
  const family = await Family.open(python, paths.runtime, paths.cache, 0, scope)
  const end = (why: string) => {
    ended ??= why
    void family[Symbol.asyncDispose]()
  }
  const onAbort = () => end('it was not wanted any more')
  const timer = setTimeout(() => end(`it took more than ${spec.seconds} s`), spec.seconds * 1000)
  const listener: BranchListener = {
    output: (stream, bytes) => {
      const copy = Buffer.from(bytes)
      if (stream === 'stderr') said.add(copy)
      else if ((size += copy.length) <= OUTPUT_LIMIT) parts.push(copy)
      else end(`it printed more than ${OUTPUT_LIMIT} bytes`)
      return true
    },
    events: () => {},
    write: () => {},
    cut: () => {},
    checkpoint: () => Promise.resolve(),
    refused: () => {},
    end: () => {},
  }
  try {
    const seen = {
      shared: [],
      private: false,
      ...spec.view,
      copy: spec.view?.directory ?? '',
      cwd: spec.cwd,
      failure,
    }
    const branch = await engine.launch(
      family,
      {
        branch: shop.newId('b'),
        argv: [
          python,
          '-I',
          '-S',
          privateProgram(),
          'run',
          JSON.stringify(seen),
          '/bin/sh',
          '-c',
          spec.command,
        ],
        env: spec.env,
        cwd: '/',
        umask: 0o022,
        allowance: grant(ownAllowance()).given,
        streams: { stdin: 'stream', joined: false, terminal: null },
        listener,
      },
      scope,
    )
    scope.signal.addEventListener('abort', onAbort, { once: true })
    if (scope.signal.aborted) onAbort()
    void branch
      .writeStdin(Buffer.from(spec.stdin))
      .then(() => branch.endStdin())
      .catch(() => {})
    const { code, signal } = await branch.exited
    if (scope.signal.aborted) throw new ThawError('CANCELLED', `Cancelled while ${spec.command} ran.`)
    if (existsSync(failure)) {
      throw new ThawError(
        'ENGINE_FAILED',
        `${spec.command} could not be started (${readFileSync(failure, 'utf8')}).`,
      )
    }
    return { code, signal, stdout: Buffer.concat(parts).toString('utf8'), said: said.text(), ended }
  } finally {
    clearTimeout(timer)
    scope.signal.removeEventListener('abort', onAbort)
    await family[Symbol.asyncDispose]()
    rmSync(work, { recursive: true, force: true })
  }
}
