/** Programs that are copied from outside, whatever they are: started in a sandbox, or gone on with from a checkpoint. */
import type { StartRequest } from '@thaw/protocol'
import type { ProcessBranch } from '../engines/process/branch.js'
import type { ProcessGroup } from '../engines/process/group.js'
import { ProcessImage } from '../engines/process/image.js'
import { isListening } from '../engines/process/listening.js'
import type { StreamsSpec } from '../engines/engine.js'
import { openScope, ThawError, withLack, type Grant, type Scope } from '../system/index.js'
import type { Execution, Take } from './execution.js'
import { seconds, type Launch, type Started } from './launch.js'
import type { BranchRecord, Checkpoint, Root } from './lineage.js'
import { expectsStop, watchMoments, type Moments } from './moments.js'
import { joined, type Begun } from './report.js'
import { rootOf } from './roots.js'
import type { Run } from './run.js'
import type { Workshop } from './workshop.js'

/** How often it is looked whether a program listens. Milliseconds. */
const LOOK_EVERY = 10

const UNWATCHED = { engine: 'process', watched: false } as const
const UNKNOWN = 'what the program uses is not known to the process engine'

export class Outside {
  readonly #shop: Workshop
  readonly #run: Run
  readonly #scope: Scope

  constructor(shop: Workshop, run: Run, scope: Scope) {
    this.#shop = shop
    this.#run = run
    this.#scope = scope
  }

  /** From the start: what such a program has used is not known, so nothing can be spared. */
  async start(
    launch: Launch,
    request: StartRequest,
    root: Root,
    granted: Grant,
    began: number,
  ): Promise<Started> {
    const planned = seconds(began)
    const { env, cwd, umask, command: argv, net: network, tcp } = request
    const streams: StreamsSpec = {
      stdin: request.stdin,
      joined: request.joined,
      terminal: request.terminal,
    }
    const met = new Set(this.#run.tree.files()[0])
    const record = launch.newRecord(root, env, null, UNWATCHED)
    record.sandbox = { network, isPrivate: false, met }
    const execution = launch.newExecution(record)
    const group = this.#run.sandboxes(this.#shop.log)
    const from = performance.now()
    const watched = watchMoments(execution, request, this.#scope)
    const branch = await this.#opened(launch, execution, () =>
      this.#shop.process.launch(
        group,
        {
          branch: launch.id,
          argv,
          env,
          cwd,
          umask,
          allowance: granted.given,
          streams,
          listener: execution,
          network,
          ...this.#rootOf(root, false),
        },
        this.#scope,
      ),
    )
    const begun: Begun = {
      outcome: 'cold',
      checkpoint: null,
      changed: [],
      reason: withLack(this.#run.timesRun > 1 ? UNKNOWN : 'first run', granted),
      effects: [],
      planned,
      restored: seconds(from),
    }
    launch.stops = expectsStop(request)
    return this.#follow(launch, execution, group, branch, begun, tcp, watched)
  }

  /** @param isPrivate what it writes in its directory is its own, and gone with it */
  async resume(
    launch: Launch,
    checkpoint: Checkpoint,
    how: {
      streams: StreamsSpec
      force: boolean
      isPrivate: boolean
      number: number
      notice: string | null
    } & Moments,
    began: number,
  ): Promise<Started> {
    const { image, branch: parent } = checkpoint
    if (!(image instanceof ProcessImage)) throw new ThawError('INTERNAL', 'This image is of another engine.')
    const record = launch.newRecord(parent.root, parent.env, checkpoint, UNWATCHED)
    record.kind = 'exact'
    record.sandbox = {
      network: image.manifest.network,
      isPrivate: how.isPrivate,
      met: parent.sandbox?.met ?? null,
    }
    const execution = launch.newExecution(record)
    const group = this.#run.sandboxes(this.#shop.log)
    const planned = seconds(began)
    const from = performance.now()
    const watched = watchMoments(execution, how, this.#scope)
    const stays = this.#run.leftFiles.changedSince(image)
    const branch = await this.#opened(launch, execution, () =>
      this.#shop.process.restore(
        group,
        image,
        {
          branch: launch.id,
          streams: how.streams,
          listener: execution,
          view: how.isPrivate ? 'private' : 'shared',
          force: how.force,
          seen: this.#rootOf(parent.root, how.isPrivate).seen,
          stays,
          number: how.number,
        },
        this.#scope,
      ),
    )
    const begun: Begun = {
      outcome: 'resumed',
      checkpoint,
      changed: [],
      reason: joined([how.notice, staying(stays), ...branch.parts.notes]),
      effects: [],
      planned,
      restored: seconds(from),
    }
    launch.stops = expectsStop(how)
    return this.#follow(launch, execution, group, branch, begun, image.manifest.tcp, watched)
  }

  #rootOf(root: Root, isPrivate: boolean) {
    return rootOf(root, isPrivate, () => [{ path: this.#run.identity.project, writable: true }])
  }

  async #opened(
    launch: Launch,
    execution: Execution,
    open: () => Promise<ProcessBranch>,
  ): Promise<ProcessBranch> {
    try {
      return await open()
    } catch (error) {
      execution.recorded.close()
      launch.feed.close()
      throw error
    }
  }

  #follow(
    launch: Launch,
    execution: Execution,
    group: ProcessGroup,
    branch: ProcessBranch,
    begun: Begun,
    tcp: 'keep' | 'close' | null,
    watched: ReturnType<typeof watchMoments>,
  ): Started {
    // Not the caller's scope: a checkpoint that somebody else asked for does not end with him.
    const scope = openScope(this.#shop.log)
    const { record } = execution
    const { leftFiles } = this.#run
    const take: Take = async (how) => {
      const image = await this.#shop.process.checkpoint(group, branch, scope, { ...how, tcp })
      const { files, left } = image.manifest.written
      noteWrites(record, [...files.map(({ path }) => path), ...left])
      const { view, written } = branch.parts
      if (view === 'shared' && written !== null) await leftFiles.note(written.now(true))
      return image
    }
    void branch.exited.then(() => {
      const { wrote } = branch
      noteWrites(record, [...(wrote?.keys() ?? [])])
      leftFiles.note(wrote ?? new Map()).catch((error: unknown) => {
        scope.log.warn('How a program left its files could not be kept.', { error })
      })
    })
    launch.announce()
    void launch.flow.lead([])
    const started = launch.follow(null, execution, branch, 0, begun, take)
    const listens = (port: number) => isListening(branch.root, port)
    watched({ exited: branch.exited, listens, every: LOOK_EVERY }, take)
    return started
  }
}

/** Files that the branch has written, as of its next checkpoint or its end. What was in them before is not known. */
function noteWrites(record: BranchRecord, paths: readonly string[]): void {
  const known = new Set(record.writes.map(({ path }) => path))
  const seq = record.checkpoints.length + 1
  for (const path of paths) {
    if (known.has(path)) continue
    const pre = record.sandbox?.met?.has(path) === false ? null : ({ other: true } as const)
    record.writes.push({ seq, path, pre, mode: null })
  }
}

function staying(paths: ReadonlySet<string>): string | null {
  if (paths.size === 0) return null
  const named = [...paths].slice(0, 3).join(', ')
  return `changed since, and left so: ${named}${paths.size > 3 ? ` and ${paths.size - 3} more` : ''}`
}
