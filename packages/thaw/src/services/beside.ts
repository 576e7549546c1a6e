/** Programs beside those of a service, in what it lives in: shells. They are part of no checkpoint, and end with it. */
import type { OutputListener, StreamsSpec } from '../engines/engine.js'
import { Attended } from '../engines/process/attended.js'
import { BranchStreams } from '../engines/process/streams.js'
import type { Beside } from '../snapshots/instances/body.js'
import { openScope, startProcess, ThawError, type Scope } from '../system/index.js'
import type { Tree } from './tree.js'

export interface BesideSpec {
  argv: readonly string[]
  env: Readonly<Record<string, string>>
  cwd: string
  streams: StreamsSpec
  listener: OutputListener
}

export type BesideRequest = Omit<BesideSpec, 'cwd'> & {
  /** null: where its code lies */
  cwd: string | null
}

/** What a program is started beside. */
export interface Around {
  name: string
  /** Held while the program runs. */
  awake: Disposable
  /** Its processes, brought up for it. */
  tree(): Promise<Tree | undefined>
  env(): Promise<Readonly<Record<string, string>>>
  cwd: string
}

/**
 * A program in the environment of a service.
 *
 * @throws ThawError COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE, and what bringing the service up throws
 */
export async function startBeside(around: Around, given: BesideRequest, scope: Scope): Promise<Beside> {
  const { name, awake } = around
  try {
    const tree = await around.tree()
    if (tree === undefined) throw new ThawError('WRONG_STATE', `${name} has ended.`)
    const terminal = given.streams.terminal === null ? {} : { TERM: 'xterm' }
    const env = { ...(await around.env()), ...terminal, ...given.env }
    const program = await tree.start({ ...given, env, cwd: given.cwd ?? around.cwd }, scope)
    void program.exited.finally(() => awake[Symbol.dispose]())
    return program
  } catch (error) {
    awake[Symbol.dispose]()
    throw error
  }
}

/** Makes the terminal named first that of the session it is started in. */
const IN_TERMINAL = ['/bin/sh', '-c', 'exec "$@" <>"$0" >&0 2>&0'] as const

/** Beside plain processes: a plain process. */
export class PlainBeside extends Attended {
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
}

const ALONE = ['ignore', 'ignore', 'ignore'] as const
