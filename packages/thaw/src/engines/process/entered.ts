/** Another program in the sandbox of a live one. It is not part of any checkpoint. */
import type { OutputListener, StreamsSpec } from '../engine.js'
import { nativeProgram, startProcess, type Scope } from '../../system/index.js'
import { Attended } from './attended.js'
import { asThawError } from './errors.js'
import type { ProcessBranch } from './branch.js'
import { SandboxRefused } from './sandbox.js'
import { BranchStreams } from './streams.js'
import { splitRecords } from './wire.js'

export interface EnterSpec {
  argv: readonly string[]
  env: Readonly<Record<string, string>>
  cwd: string
  user: { uid: number; gid: number } | null
  streams: StreamsSpec
  listener: OutputListener
  /** Called with the process that it is going to be below, before it is started. */
  admit?: (pid: number) => void
}

export class Entered extends Attended {
  /** @throws ThawError COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE, ENGINE_FAILED */
  static async start(
    branch: ProcessBranch,
    spec: EnterSpec,
    rootless: boolean,
    scope: Scope,
  ): Promise<Entered> {
    const { terminal } = spec.streams
    const streams =
      terminal === null
        ? BranchStreams.openPipes(spec.streams, spec.listener)
        : BranchStreams.besideTerminal(terminal, branch.parts.sandbox, spec.listener)
    const { user } = spec
    const argv = [
      nativeProgram('sandbox'),
      'enter',
      String(process.pid),
      String(branch.root),
      rootless ? 'user' : 'root',
      streams.terminal?.path ?? '-',
      spec.cwd,
      String(user?.uid ?? -1),
      String(user?.gid ?? -1),
      ...spec.argv,
    ]
    const ends = streams.terminal === null ? streams.ends : [null, null, null]
    const stdio = [...ends.map((fd) => fd ?? ('ignore' as const)), 'pipe' as const]
    const lasting: Scope = { signal: new AbortController().signal, log: scope.log }
    try {
      const child = await startProcess(argv, { cwd: '/', env: { ...spec.env }, stdio }, lasting)
      streams.handedOver()
      const control = child.pipe(3)
      control.on('error', () => {})
      try {
        spec.admit?.(child.pid)
      } catch (error) {
        await child[Symbol.asyncDispose]()
        throw error
      }
      control.write('.')
      // Closed by the exec that succeeds.
      const refused = await new Promise<string[] | null>((resolve) => {
        control.on('data', splitRecords(resolve))
        control.once('close', () => resolve(null))
      })
      if (refused !== null) {
        await child[Symbol.asyncDispose]()
        throw new SandboxRefused(refused[1] ?? '', Number(refused[2]))
      }
      return new Entered(child, streams)
    } catch (error) {
      streams.close(false)
      throw asThawError(error, spec.argv[0] ?? '', spec.cwd)
    }
  }
}
