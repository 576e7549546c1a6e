/** A branch beside its run that tries an edit: it sees a copy of the project, and leaves the project as it is. */
import { createHash } from 'node:crypto'
import type { StartRequest } from '@thaw/protocol'
import { isParked, RestoreRefused, type Branch } from '../engines/engine.js'
import { putBack, type Content } from '../files/undo.js'
import { ThawError, type Scope } from '../system/index.js'
import type { RunSink } from './flow.js'
import type { Group } from './group.js'
import { environmentChange, Launch, seconds, type Started } from './launch.js'
import { inherit, writtenUntil, type BranchRecord, type Checkpoint } from './lineage.js'
import { makePlan, type Plan } from './plan.js'
import { lookNow, type Present } from './present.js'
import type { Begun } from './report.js'
import type { Run } from './run.js'
import { isBelow, type ProjectCopy } from './verify/copy.js'
import type { Workshop } from './workshop.js'

export interface TrialSpec {
  run: Run
  /** The branch after which it is tried. */
  leaf: BranchRecord
  /** With the edit in it. */
  copy: ProjectCopy
  /** What the edit makes of files, by absolute path. */
  edited: ReadonlyMap<string, Uint8Array>
  request: StartRequest
  /** Called with the branch before it goes on. */
  before?: (branch: Branch) => Promise<void>
}

export class Trial {
  readonly #shop: Workshop
  readonly #spec: TrialSpec
  readonly #group: Group
  readonly #launch: Launch
  readonly #scope: Scope
  readonly #began = performance.now()
  readonly #refused = new Map<Checkpoint, string>()

  /** @throws ThawError UNSUPPORTED where it could not be kept apart */
  constructor(shop: Workshop, spec: TrialSpec, sink: RunSink, scope: Scope) {
    const { run, leaf, copy, request } = spec
    const { project } = run.identity
    const no = (why: string) => new ThawError('UNSUPPORTED', `It cannot be tried beside the project: ${why}.`)
    if (!copy.private) throw no('no private view of the file system is possible here')
    const group = run.groupOf.get(leaf)
    if (group === undefined || !group.alive) throw no('its processes are gone')
    if (group.base === null) throw no('the program lives in a sandbox')
    const { home, state, runtime, cache } = shop.paths
    for (const own of [home, state, runtime, cache]) {
      if (own !== null && isBelow(own, project)) throw no(`${own} lies in it`)
    }
    for (const path of writtenUntil(leaf, Infinity).keys()) {
      if (!isBelow(path, project)) throw no(`the program writes ${path}, outside of it`)
    }
    this.#shop = shop
    this.#spec = spec
    this.#group = group
    this.#scope = scope
    const { stdin, joined, terminal, settings, command } = request
    const streams = { stdin, joined, terminal }
    const named = { engine: 'fork', began: this.#began, every: null, command, below: null }
    this.#launch = new Launch(shop, run, { streams, settings, sink, scope, ...named, diagnose: 'tell' })
    this.#launch.apart = true
  }

  get feed(): Launch['feed'] {
    return this.#launch.feed
  }

  /** From the latest checkpoint that holds under the edit. */
  async start(): Promise<{ started: Started; record: BranchRecord }> {
    try {
      // The copies of versions that are compared are known by their content.
      for (const path of this.#spec.edited.keys()) {
        if (path.endsWith('.py')) await this.#group.compiled(this.#there(path))
      }
      for (;;) {
        const plan = await this.#plan()
        const planned = seconds(this.#began)
        try {
          return await this.#from(plan, planned)
        } catch (error) {
          if (!(error instanceof RestoreRefused) || plan.kind !== 'resume') throw error
          this.#refused.set(plan.checkpoint, error.message)
        }
      }
    } catch (error) {
      this.feed.close()
      throw error
    }
  }

  async #from(plan: Plan, planned: number): Promise<{ started: Started; record: BranchRecord }> {
    const { leaf, copy, request } = this.#spec
    const launch = this.#launch
    const group = this.#group
    const checkpoint = plan.kind === 'resume' ? plan.checkpoint : null
    const files = plan.kind === 'resume' ? plan.files : []
    if (checkpoint !== null) this.#takeFilesBack(checkpoint)
    const record = launch.newRecord(group.root, request.env, checkpoint)
    if (checkpoint !== null) inherit(record, checkpoint, files)
    const execution = launch.newExecution(record)
    const image = checkpoint?.image ?? group.base
    if (image === null || !isParked(image))
      throw new ThawError('INTERNAL', 'This image is of another engine.')
    const env = environmentChange(checkpoint === null ? group.root.env : leaf.env, request.env)
    const view = { project: copy.project, copy: copy.directory, shared: copy.shared }
    const from = performance.now()
    const how = { env, files, stops: [], number: null }
    const { before } = this.#spec
    const hold = before !== undefined
    const branch = await launch
      .restore(group, image, execution, how, { view, hold })
      .catch((error: unknown) => {
        execution.recorded.close()
        throw error
      })
    launch.announce()
    void launch.flow.lead([])
    const begun: Begun = {
      outcome: checkpoint === null ? 'cold' : 'resumed',
      checkpoint,
      changed: plan.changed,
      reason: plan.reason,
      effects: [],
      planned,
      restored: seconds(from),
    }
    const started = launch.follow(null, execution, branch, checkpoint?.stdin ?? 0, begun)
    await before?.(branch)
    if (hold) branch.release?.()
    return { started, record }
  }

  #plan(): Promise<Plan> {
    const { run, request } = this.#spec
    run.recognizeFiles()
    const mine = (branch: BranchRecord) => run.groupOf.get(branch) === this.#group
    const present = lookNow(
      request.env,
      run.tree.modules(),
      this.#shop.sources,
      this.#shop.contents,
      this.#scope,
    )
    return makePlan({
      branches: run.branches.filter(
        (branch) => branch.end !== null && branch.kind === 'run' && branch.engine === 'fork' && mine(branch),
      ),
      last: run.onDisk,
      present: this.#withEdit(present),
      oracle: () => this.#group,
      stdin: { samePrefix: () => Promise.resolve(true), sameWhole: () => Promise.resolve(false) },
      disk: run.disk,
      effects: request.effects,
      filesProblem: run.filesProblem,
      refused: this.#refused,
      stops: [],
      replayable: () => false,
    })
  }

  /** The present as the branch will see it. */
  #withEdit(now: Present): Present {
    const { edited } = this.#spec
    const hashes = new Map<string, string>()
    for (const [path, content] of edited) hashes.set(path, createHash('sha1').update(content).digest('hex'))
    return {
      ...now,
      source: (file) => hashes.get(file) ?? now.source(file),
      sameRead: (path, seen) => !edited.has(path) && now.sameRead(path, seen),
      sameStat: (path, seen) => !edited.has(path) && now.sameStat(path, seen),
      sameLink: (path, seen) => !edited.has(path) && now.sameLink(path, seen),
    }
  }

  #takeFilesBack({ branch, seq }: Checkpoint): void {
    const contents = new Map<string, Exclude<Content, 'unknown'>>()
    for (const [path, content] of this.#spec.run.contentsAt(branch, seq)) {
      if (content !== 'unknown') contents.set(this.#there(path), content)
    }
    putBack(contents)
  }

  #there(path: string): string {
    const { project, directory } = this.#spec.copy
    return directory + path.slice(project.length)
  }
}
