/** Programs of runs in machines of their own: started in a copy of a booted one, or gone on with from a checkpoint. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { StartRequest } from '@thaw/protocol'
import type { StreamsSpec } from '../engines/engine.js'
import type { ProcessGroup } from '../engines/process/group.js'
import { listensIn } from '../engines/process/sockets.js'
import { VmImage } from '../engines/vm/image.js'
import type { Guest } from '../engines/vm/guest/guest.js'
import { MachineBranch, startProgram } from '../engines/vm/program.js'
import { Known, MachineProject } from '../engines/vm/project.js'
import type { VmBranch } from '../engines/vm/vm.js'
import { openScope, ThawError, type Scope } from '../system/index.js'
import type { Execution, Take } from './execution.js'
import { seconds, type Launch, type Started } from './launch.js'
import type { Checkpoint, Root } from './lineage.js'
import { expectsStop, watchMoments, type Moments } from './moments.js'
import { joined, type Begun } from './report.js'
import type { Run } from './run.js'
import type { Workshop } from './workshop.js'

const IN_MACHINE = { engine: 'vm', watched: false } as const
const UNKNOWN = 'what the program uses is not known to the vm engine'
/** Beside a copy: how the project's files were when they were the same here and there. */
const PROJECT = 'project.json'
const HOSTNAME = 'thaw'
/** Between two looks whether a program listens. Milliseconds. */
const LOOK_EVERY = 200

interface Parts {
  launch: Launch
  execution: Execution
  machine: VmBranch
  project: MachineProject
  /** What it changes stays in its machine. */
  isPrivate: boolean
}

export class Machines {
  readonly #shop: Workshop
  readonly #run: Run
  readonly #scope: Scope

  constructor(shop: Workshop, run: Run, scope: Scope) {
    this.#shop = shop
    this.#run = run
    this.#scope = scope
  }

  /** From the start. @throws ThawError ENGINE_MISSING, SETUP_FAILED, UNSUPPORTED, and why it could not be started */
  async start(launch: Launch, request: StartRequest, root: Root, began: number): Promise<Started> {
    const { files } = root
    if (files === null) throw new ThawError('INTERNAL', 'A machine has no root file system.')
    if (root.network === 'private+out') {
      throw new ThawError('UNSUPPORTED', 'Machines have no network of their own yet, and so no way out.', {
        hint: 'Leave --net out: a machine has its own loopback, and no other network.',
      })
    }
    if (request.breaks.length > 0) {
      throw new ThawError('UNSUPPORTED', 'A program in a machine cannot stop at a place in its code.', {
        hint: 'Stop it with --break-output or --break-listen.',
      })
    }
    const { env, cwd, command: argv, stdin, joined: together, terminal } = request
    const record = launch.newRecord(root, env, null, IN_MACHINE)
    const execution = launch.newExecution(record)
    const planned = seconds(began)
    const from = performance.now()
    return await this.#opened(launch, execution, async () => {
      const base = await this.#shop.bases.get(files, this.#scope)
      const machine = await this.#restored(base, execution)
      const project = new MachineProject(this.#run.identity.project)
      const stops = watchMoments(execution, request, this.#scope)
      try {
        await project.carryIn(machine.guest, () => false, this.#scope)
        const spec = { argv, env, cwd, user: null, terminal, joined: together }
        machine.program = await startProgram(machine, spec, execution, this.#scope)
      } catch (error) {
        await machine[Symbol.asyncDispose]()
        throw error
      }
      if (stdin === 'null' && terminal === null) machine.program.endStdin()
      const reason = joined([this.#run.timesRun > 1 ? UNKNOWN : 'first run', notCarried(project)])
      launch.stops = expectsStop(request)
      const begun: Begun = { ...fresh(planned, from), outcome: 'cold', checkpoint: null, reason }
      return this.#follow({ launch, execution, machine, project, isPrivate: launch.apart }, begun, stops)
    })
  }

  /** As it stood, with the project's files as they are now where the user has changed them since. */
  async resume(
    launch: Launch,
    checkpoint: Checkpoint,
    how: { streams: StreamsSpec; isPrivate: boolean } & Moments,
    began: number,
  ): Promise<Started> {
    const { image, branch: parent } = checkpoint
    if (!(image instanceof VmImage)) throw new ThawError('INTERNAL', 'This image is of another engine.')
    const record = launch.newRecord(parent.root, parent.env, checkpoint, IN_MACHINE)
    record.kind = 'exact'
    const execution = launch.newExecution(record)
    const planned = seconds(began)
    const from = performance.now()
    return await this.#opened(launch, execution, async () => {
      const project = new MachineProject(this.#run.identity.project, readKnown(image))
      const stops = watchMoments(execution, how, this.#scope)
      const held = await this.#shop.machines.hold(
        this.#run.machines(this.#shop.log),
        image,
        { listener: execution },
        this.#scope,
      )
      const { leftFiles } = this.#run
      let edited: string[] = []
      const prepare = async (guest: Guest) => {
        edited = await project.carryIn(guest, (path) => leftFiles.isLeft(path), this.#scope)
      }
      const machine = await held.release(HOSTNAME, this.#scope, prepare)
      const reason = joined([
        edited.length === 0 ? null : `put in place: ${named(edited)}`,
        how.isPrivate ? 'what it changes stays in its machine' : null,
      ])
      launch.stops = expectsStop(how)
      const begun: Begun = { ...fresh(planned, from), outcome: 'resumed', checkpoint, reason }
      return this.#follow({ launch, execution, machine, project, isPrivate: how.isPrivate }, begun, stops)
    })
  }

  async #restored(image: VmImage, execution: Execution): Promise<VmBranch> {
    const how = { hostname: HOSTNAME, listener: execution }
    return await this.#shop.machines.restore(this.#run.machines(this.#shop.log), image, how, this.#scope)
  }

  async #opened(launch: Launch, execution: Execution, open: () => Promise<Started>): Promise<Started> {
    try {
      return await open()
    } catch (error) {
      execution.recorded.close()
      launch.feed.close()
      throw error
    }
  }

  #follow(
    { launch, execution, machine, project, isPrivate }: Parts,
    begun: Begun,
    watched: ReturnType<typeof watchMoments>,
  ): Started {
    const { program } = machine
    if (program === null) throw new ThawError('INTERNAL', 'A machine has no program.')
    const scope = openScope(this.#shop.log)
    const back = async () => {
      if (!isPrivate) await this.#carryBack(project, machine, begun, scope)
    }
    const branch = new MachineBranch(launch.id, machine, program, back)
    const group: ProcessGroup = this.#run.machines(this.#shop.log)
    const take: Take = async ({ stop, cut }) => {
      // So that whoever looks at a stop finds here what is there.
      if (stop) await back()
      branch.stopping = stop
      try {
        const beside = { [PROJECT]: JSON.stringify(project.known) }
        const how = { stop, beside, cut: () => cut({ stdin: branch.taken }) }
        return await this.#shop.machines.checkpoint(group, machine, how, scope)
      } catch (error) {
        branch.stopping = false
        throw error
      }
    }
    launch.announce()
    void launch.flow.lead([])
    const started = launch.follow(null, execution, branch, 0, begun, take)
    const listens = (port: number) => isListening(machine.guest, port, scope)
    watched({ exited: branch.exited, listens, every: LOOK_EVERY }, take)
    const done = started.done.then((report) => {
      if (branch.failure !== null) throw branch.failure
      return report
    })
    done.catch(() => {})
    return { ...started, done }
  }

  async #carryBack(project: MachineProject, { guest }: VmBranch, begun: Begun, scope: Scope): Promise<void> {
    const { leftFiles } = this.#run
    const { written, stayed } = await project.carryBack(guest, (path) => leftFiles.isLeft(path), scope)
    await leftFiles.note(written)
    if (stayed.length === 0) return
    begun.reason = joined([begun.reason, `changed here meanwhile, and left so: ${named(stayed)}`])
  }
}

const fresh = (planned: number, from: number) => ({
  changed: [],
  effects: [],
  planned,
  restored: seconds(from),
})

/** Whether anything in a machine listens on a TCP port. */
async function isListening(guest: Guest, port: number, scope: Scope): Promise<boolean> {
  for (const name of ['tcp', 'tcp6']) {
    const parts: Buffer[] = []
    for await (const part of (await guest.readFile(`/proc/net/${name}`, scope)).content) parts.push(part)
    if (listensIn(Buffer.concat(parts).toString('latin1'), port)) return true
  }
  return false
}

function readKnown(image: VmImage): Known {
  try {
    return Known.parse(JSON.parse(readFileSync(join(image.directory, PROJECT), 'utf8')))
  } catch (error) {
    throw new ThawError('IMAGE_BROKEN', `${PROJECT} of ${image.directory} cannot be read.`, { cause: error })
  }
}

function notCarried({ leftOut }: MachineProject): string | null {
  return leftOut.length === 0 ? null : `not carried into the machine: ${named(leftOut)}`
}

function named(paths: readonly string[]): string {
  const few = paths.slice(0, 3).join(', ')
  return paths.length > 3 ? `${few} and ${paths.length - 3} more` : few
}
