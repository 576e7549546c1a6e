/** Programs of runs in machines of their own: started in a copy of a booted one, or gone on with from a checkpoint. */
import type { RootFiles, StartRequest } from '@thaw/protocol'
import type { BaseSpec, StreamsSpec } from '../engines/engine.js'
import { listensIn } from '../engines/process/sockets.js'
import type { Carried } from '../engines/vm/carried.js'
import type { Guest } from '../engines/vm/guest/guest.js'
import { VmImage } from '../engines/vm/image.js'
import { MachineBranch, startProgram } from '../engines/vm/program.js'
import type { VmBranch } from '../engines/vm/vm.js'
import type { StopPlace } from '@thaw/protocol/agent'
import { openScope, ThawError, type Scope } from '../system/index.js'
import type { Execution, Take } from './execution.js'
import type { Group } from './group.js'
import { seconds, type Launch, type Started } from './launch.js'
import type { Checkpoint, Root } from './lineage.js'
import { carriedBy, machineSite } from './machine-site.js'
import { expectsStop, watchMoments, type Moments } from './moments.js'
import type { Begun } from './report.js'
import type { Run } from './run.js'
import type { Workshop } from './workshop.js'

const UNWATCHED = { engine: 'vm', watched: false } as const
const WATCHED = { engine: 'vm', watched: true } as const
const UNKNOWN = 'a run in a machine begins anew'
const HOSTNAME = 'thaw'
/** Between two looks whether a program listens. Milliseconds. */
const LOOK_EVERY = 200

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
    const files = filesOf(root)
    if (request.breaks.length > 0) {
      throw new ThawError('UNSUPPORTED', 'Only Python programs stop at a place in their code.', {
        hint: 'Stop it with --break-output or --break-listen.',
      })
    }
    const { env, cwd, command: argv, stdin, joined, terminal } = request
    const execution = launch.newExecution(launch.newRecord(root, env, null, UNWATCHED))
    const planned = seconds(began)
    const from = performance.now()
    return await opened(launch, execution, async () => {
      const base = await this.#shop.bases.get(files, request, this.#scope)
      const carried = carriedBy(this.#run, null, null, launch.apart)
      const stops = watchMoments(execution, request, this.#scope)
      const how = { hostname: HOSTNAME, listener: execution }
      const { machines } = this.#shop
      const machine = await machines.restore(this.#run.machines(this.#shop.log), base, how, this.#scope)
      try {
        await carried.into(machine.guest, this.#scope)
        const { umask, allowance } = request
        const spec = { argv, env, cwd, user: null, terminal, joined, umask, allowance }
        machine.program = await startProgram(machine, spec, execution, this.#scope)
      } catch (error) {
        await machine[Symbol.asyncDispose]()
        throw error
      }
      launch.stops = expectsStop(request)
      const streams = { stdin, joined, terminal }
      return this.#follow(launch, execution, machine, streams, carried, this.#cold(planned, from), stops)
    })
  }

  /** From the start, with the agent in it: it can stop at places in its code. */
  async startWatched(
    launch: Launch,
    group: Group,
    base: BaseSpec,
    request: Pick<StartRequest, 'stdin' | 'joined' | 'terminal' | 'diagnose' | 'memory' | 'cpus'> & {
      stops: StopPlace[]
    },
    began: number,
  ): Promise<Started> {
    const { root } = group
    const files = filesOf(root)
    const { stdin, joined, terminal, stops, diagnose = null } = request
    const execution = launch.newExecution(launch.newRecord(root, base.env, null, WATCHED))
    const planned = seconds(began)
    const from = performance.now()
    launch.stops = true
    return await opened(launch, execution, async () => {
      const image = await this.#shop.bases.get(files, request, this.#scope)
      const site = machineSite(this.#shop, this.#run, group, null, launch.apart)
      const streams: StreamsSpec = { stdin, joined, terminal }
      const spec = { ...base, branch: launch.id, streams, listener: execution, stops, diagnose }
      const branch = await this.#shop.watchedMachines.launch(site, image, spec, this.#scope)
      launch.announce()
      void launch.flow.lead([])
      return launch.follow(group, execution, branch, 0, this.#cold(planned, from))
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
    const record = launch.newRecord(parent.root, parent.env, checkpoint, UNWATCHED)
    record.kind = 'exact'
    const execution = launch.newExecution(record)
    const planned = seconds(began)
    const from = performance.now()
    return await opened(launch, execution, async () => {
      const carried = carriedBy(this.#run, null, image, how.isPrivate)
      const stops = watchMoments(execution, how, this.#scope)
      const group = this.#run.machines(this.#shop.log)
      const held = await this.#shop.machines.hold(group, image, { listener: execution }, this.#scope)
      const machine = await held.release(HOSTNAME, this.#scope, (guest) => carried.into(guest, this.#scope))
      launch.stops = expectsStop(how)
      const begun: Begun = { ...this.#cold(planned, from), outcome: 'resumed', checkpoint, reason: null }
      return this.#follow(launch, execution, machine, how.streams, carried, begun, stops)
    })
  }

  #cold(planned: number, from: number): Begun {
    return {
      outcome: 'cold',
      checkpoint: null,
      changed: [],
      reason: this.#run.timesRun > 1 ? UNKNOWN : 'first run',
      effects: [],
      planned,
      restored: seconds(from),
    }
  }

  #follow(
    launch: Launch,
    execution: Execution,
    machine: VmBranch,
    { stdin, terminal }: StreamsSpec,
    carried: Carried,
    begun: Begun,
    watched: ReturnType<typeof watchMoments>,
  ): Started {
    const { program, guest } = machine
    if (program === null) throw new ThawError('INTERNAL', 'A machine has no program.')
    if (stdin === 'null' && terminal === null) program.endStdin()
    // Not the caller's scope: a checkpoint that somebody else asked for does not end with him.
    const scope = openScope(this.#shop.log)
    const branch = new MachineBranch(launch.id, machine, program, carried)
    const group = this.#run.machines(this.#shop.log)
    const take: Take = (how) => branch.copy(this.#shop.machines, group, how, scope)
    launch.announce()
    void launch.flow.lead([])
    const started = launch.follow(null, execution, branch, 0, begun, take)
    const listens = (port: number) => isListening(guest, port, scope)
    watched({ exited: branch.exited, listens, every: LOOK_EVERY }, take)
    return started
  }
}

async function opened(launch: Launch, execution: Execution, open: () => Promise<Started>): Promise<Started> {
  try {
    return await open()
  } catch (error) {
    execution.recorded.close()
    launch.feed.close()
    throw error
  }
}

/** @throws ThawError UNSUPPORTED where more was asked for than machines have */
function filesOf({ files, network }: Root): RootFiles {
  if (files === null) throw new ThawError('INTERNAL', 'A machine has no root file system.')
  if (network !== 'private+out') return files
  throw new ThawError('UNSUPPORTED', 'Machines have no network of their own yet, and so no way out.', {
    hint: 'Leave --net out: a machine has its own loopback, and no other network.',
  })
}

/** Whether anything in a machine listens on a TCP port. */
async function isListening(guest: Guest, port: number, scope: Scope): Promise<boolean> {
  for (const name of ['tcp', 'tcp6']) {
    if (listensIn(await guest.readText(`/proc/net/${name}`, scope), port)) return true
  }
  return false
}
