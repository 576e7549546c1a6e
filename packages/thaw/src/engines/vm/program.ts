/** A program of a run in a machine that is there for it. */
import { constants } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { openScope, ThawError, type ErrorCode, type Scope } from '../../system/index.js'
import type { Branch, BranchExit, OutputListener, TerminalSize } from '../engine.js'
import type { Carried } from './carried.js'
import { GuestRefused, type GuestExit, type GuestProgram, type GuestProgramSpec } from './guest/guest.js'
import type { VmImage } from './image.js'
import type { Machine } from './monitor.js'
import { wasRebooted } from './reboot.js'
import type { VmBranch, VmEngine, VmGroup } from './vm.js'

const ENOENT = 2
/** The guest's channel closes a little before the monitor ends. Milliseconds. */
const ENDS_WITHIN = 3000

/** Starts the program that a machine is there for. @throws ThawError COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE, ENGINE_FAILED */
export async function startProgram(
  branch: VmBranch,
  spec: GuestProgramSpec,
  listener: OutputListener,
  scope: Scope,
): Promise<GuestProgram> {
  try {
    return await branch.guest.start(spec, listener, scope)
  } catch (error) {
    if (!(error instanceof GuestRefused)) throw error
    throw startError(error, spec.argv[0] ?? '', spec.cwd)
  }
}

/** Disposing it ends the machine. */
export class MachineBranch implements Branch, AsyncDisposable {
  readonly id: string
  readonly left: readonly string[] = []
  readonly exited: Promise<BranchExit>
  readonly machine: VmBranch
  /** What kept the end from being what the program's was: its machine died, or its files could not be carried back. */
  failure: ThawError | null = null
  readonly #program: GuestProgram
  readonly #carried: Carried
  /** It is being copied, and ends with that. */
  #stopping = false
  #over = false
  #sent = 0

  /** @param carried brought back when the program has ended, and at stops */
  constructor(id: string, machine: VmBranch, program: GuestProgram, carried: Carried) {
    this.id = id
    this.machine = machine
    this.#program = program
    this.#carried = carried
    this.exited = this.#follow()
  }

  get over(): boolean {
    return this.#over
  }

  get notes(): readonly string[] {
    return this.#carried.notes
  }

  /** It runs on, also on failure; with `stop` it ends once it is copied. @throws ThawError as VmEngine.checkpoint */
  async copy(
    engine: VmEngine,
    group: VmGroup,
    { stop, cut }: { stop: boolean; cut: (crossed: { stdin: number }) => void },
    scope: Scope,
  ): Promise<VmImage> {
    // So that whoever looks at a stop finds here what is there.
    if (stop) await this.#carried.back(this.machine.guest, scope)
    this.#stopping = stop
    try {
      // Unread or read: what was sent is in the copy.
      const how = { stop, beside: this.#carried.beside(), cut: () => cut({ stdin: this.#sent }) }
      return await engine.checkpoint(group, this.machine, how, scope)
    } catch (error) {
      this.#stopping = false
      throw error
    }
  }

  get pid(): number {
    return this.machine.machine.pid
  }

  async writeStdin(bytes: Uint8Array): Promise<void> {
    await this.#program.writeStdin(bytes)
    this.#sent += bytes.length
  }

  endStdin(): void {
    this.#program.endStdin()
  }

  resumeOutput(): void {
    this.#program.resumeOutput()
  }

  /** As a writer to a closed pipe is told. */
  closeOutput(): void {
    this.#program.signal(constants.signals.SIGPIPE)
  }

  signal(name: string): Promise<void> {
    this.#program.signal(constants.signals[name as NodeJS.Signals] ?? constants.signals.SIGTERM)
    return Promise.resolve()
  }

  resize(size: TerminalSize): Promise<void> {
    this.#program.resize(size)
    return Promise.resolve()
  }

  askCheckpoint(): Promise<void> {
    return Promise.reject(new ThawError('UNSUPPORTED', 'A machine is copied from outside.'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]()
  }

  async #follow(): Promise<BranchExit> {
    const exit = await this.#program.exited
    this.#over = true
    const { guest, machine } = this.machine
    if (guest.lost) {
      if (!this.#stopping) this.failure = ended(await endOf(machine))
    } else {
      try {
        const scope = openScope()
        if (await wasRebooted(guest, scope)) this.#carried.notes.push('`reboot` ended its machine')
        await this.#carried.back(guest, scope)
      } catch (error) {
        this.failure = ThawError.from(error)
      }
    }
    await this.machine[Symbol.asyncDispose]()
    return { ...inNames(exit), strays: 0, stdinConsumed: this.#sent }
  }
}

function ended(why: string): ThawError {
  return new ThawError('ENGINE_FAILED', `The machine ended before its program did: ${why}.`, {
    hint: 'What the program had changed since the last stop is gone with it; the command `reboot` carries it back first.',
  })
}

/** How a machine came to its end without thaw, in words. Prerequisite: its guest is lost, and nobody has ended it since. */
export async function endOf(machine: Machine): Promise<string> {
  const end = await Promise.race([machine.exited, setTimeout(ENDS_WITHIN, null, { ref: false })])
  if (end === null) return 'its guest no longer answered'
  const { code, signal } = end
  if (code === 0) return 'it reset itself'
  return signal === null ? `its monitor ended with exit code ${code}` : `its monitor was ended by ${signal}`
}

function startError(error: GuestRefused, program: string, cwd: string): ThawError {
  const { what, errno } = error
  const [code, text]: [ErrorCode, string] =
    what === 'chdir'
      ? ['DIRECTORY_GONE', `${cwd} cannot be entered in the machine (error ${errno}).`]
      : what !== 'exec'
        ? ['ENGINE_FAILED', `${error.message}.`]
        : errno === ENOENT
          ? ['COMMAND_NOT_FOUND', `Cannot start ${program}: not found in the machine.`]
          : ['NOT_EXECUTABLE', `Cannot start ${program} in the machine (error ${errno}).`]
  return new ThawError(code, text, { cause: error })
}

export function inNames({ code, signal }: GuestExit): { code: number | null; signal: string | null } {
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ?? null
  return { code, signal: name }
}
