/** Checkpoints as parked copies of the process. Needs no root, takes milliseconds, ends with the daemon. */
import { HostRefused } from './host.js'
import { ThawError, within, type Scope } from '../../system/index.js'
import {
  RestoreRefused,
  type Ability,
  type AgentEngine,
  type BaseSpec,
  type Branch,
  type Image,
  type LaunchSpec,
  type RestoreSpec,
} from '../engine.js'
import type { AgentMessage } from '@thaw/protocol/agent'
import type { AgentLine } from './agents.js'
import { BranchStreams, ForkBranch } from './branch.js'
import { startError } from '../start-error.js'
import { nextMessage, type Family } from './family.js'
import { ForkImage } from './image.js'

const RESTORE_TIMEOUT = 20_000

export class ForkEngine implements AgentEngine<Family> {
  readonly name = 'fork'

  probe(): Promise<Ability[]> {
    const linux = process.platform === 'linux'
    return Promise.resolve([
      {
        name: 'parked copies of single-threaded Python programs',
        works: linux,
        reason: linux ? null : 'They need Linux.',
      },
    ])
  }

  async launch(family: Family, spec: LaunchSpec, scope: Scope): Promise<Branch> {
    const streams = await BranchStreams.open(family, spec.streams, spec.listener)
    try {
      const { pid } = await within(
        scope,
        'starting the program',
        family.host.ask({
          do: 'spawn',
          argv: spec.argv,
          env: spec.env,
          cwd: spec.cwd,
          umask: spec.umask,
          allowance: spec.allowance,
          ...streams.paths,
          ...(streams.tty === null ? {} : { tty: streams.tty }),
        }),
        ({ pid: late }) => family.host.ask({ do: 'kill', pids: [late], tree: true }),
      )
      return new ForkBranch(family, spec.branch, pid, streams, null)
    } catch (error) {
      await streams.close()
      throw asThawError(error, spec.argv[0] ?? '', spec.cwd)
    }
  }

  async prepare(family: Family, spec: BaseSpec, scope: Scope): Promise<ForkImage> {
    try {
      const { path } = await family.host.ask({ do: 'stub', python: spec.python })
      const setup = { socket: family.agents.path, cache: family.cache, ...spec.setup }
      const { pid } = await family.host.ask({
        do: 'spawn',
        argv: spec.argv(path),
        env: { ...spec.env, THAW_AGENT: JSON.stringify(setup) },
        cwd: spec.cwd,
        umask: spec.umask,
        allowance: spec.allowance,
        stdin: null,
        stdout: null,
        stderr: null,
      })
      const image = new ForkImage(family, pid, null)
      try {
        const { hello } = await within(scope, 'starting the interpreter', image.line)
        image.start = hello.start ?? null
        return image
      } catch (error) {
        await image.discard()
        throw error
      }
    } catch (error) {
      throw asThawError(error, spec.python, spec.cwd)
    }
  }

  async restore(family: Family, image: Image, spec: RestoreSpec, scope: Scope): Promise<Branch> {
    if (!(image instanceof ForkImage)) throw new ThawError('INTERNAL', 'This image is of another engine.')
    const line = await within(scope, 'waiting for the parked process', image.line)
    if (!image.inPlace) {
      throw new ThawError(
        'ENGINE_FAILED',
        'The directory in which the checkpoint works was removed or replaced.',
      )
    }
    const streams = await BranchStreams.open(family, spec.streams, spec.listener)
    let pid: number | null = null
    try {
      // A parked process clones itself once at a time; what comes before and after may overlap.
      const turn = image.turn.then(() => this.#clone(line, streams, spec))
      image.turn = turn.catch(() => {})
      const message = await turn
      pid = message.pid
      const exit = family.exit(pid)
      const reported = await family.line(
        (candidate) => candidate.hello.role === 'branch' && candidate.hello.id === spec.branch,
        exit,
      )
      const agent = { line: reported, listener: spec.listener }
      return new ForkBranch(family, spec.branch, pid, streams, agent, exit, message.left)
    } catch (error) {
      if (pid !== null) await family.host.ask({ do: 'kill', pids: [pid], tree: true }).catch(() => {})
      await streams.close()
      throw error
    }
  }

  async discard(image: Image): Promise<void> {
    if (image instanceof ForkImage) await image.discard()
  }

  /** @throws RestoreRefused, ThawError ENGINE_FAILED */
  async #clone(
    line: AgentLine,
    streams: BranchStreams,
    spec: RestoreSpec,
  ): Promise<Extract<AgentMessage, { t: 'restored' }>> {
    const answer = nextMessage(line, ['restored', 'failed'])
    line.send({
      t: 'restore',
      branch: spec.branch,
      stdin: streams.paths.stdin,
      stdout: streams.paths.stdout,
      stderr: streams.paths.stderr,
      tty: streams.tty,
      env: spec.env,
      argv: null,
      files: spec.files,
      stops: [...spec.stops],
      number: spec.number,
      diagnose: spec.diagnose,
      view: spec.view,
      hold: spec.hold,
    })
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new ThawError('ENGINE_FAILED', 'The parked process did not answer.')),
        RESTORE_TIMEOUT,
      )
    })
    const message = await Promise.race([answer, late]).finally(() => clearTimeout(timer))
    if (message.t === 'failed') throw new RestoreRefused(message.why)
    return message
  }
}

function asThawError(error: unknown, command: string, cwd: string): unknown {
  if (!(error instanceof HostRefused)) return error
  const { where, error: name, message } = error.refusal
  if (where === 'limits')
    return new ThawError('LIMITS_NOT_GIVEN', `${command} cannot be given the caller's limits (${name}).`, {
      cause: error,
    })
  if (name === 'unsupported') return new ThawError('UNSUPPORTED', message, { cause: error })
  const told = startError(where, name, command, cwd, error)
  if (told !== null) return told
  return new ThawError('ENGINE_FAILED', `${command} could not be started (${name}: ${message}).`, {
    cause: error,
  })
}
