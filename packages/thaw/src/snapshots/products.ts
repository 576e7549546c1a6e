/** Images, and what is made of them. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type {
  DaemonSettings,
  ExportedSnapshot,
  Image,
  ImportedSnapshot,
  RootFiles,
  SnapshotImportRequest,
} from '@thaw/protocol'
import { CriuProvider, needsUserNamespace } from '../engines/process/criu/provide.js'
import { ProcessGroup } from '../engines/process/group.js'
import { ImageKeeper } from '../engines/process/keeper.js'
import { ProcessEngine } from '../engines/process/process.js'
import { VmToolsProvider } from '../engines/vm/tools.js'
import { VmEngine } from '../engines/vm/vm.js'
import type { Journal } from '../store/index.js'
import type { PagesCollected } from '../store/pages.js'
import { Disposables, ThawError, type Log, type Metrics, type Paths, type Scope } from '../system/index.js'
import { Images } from './images/images.js'
import { machineRoot } from './images/machine-root.js'
import { checkpointsOf, Instances } from './instances/instances.js'
import { exportSnapshot, importSnapshot, type Exchange } from './kept/exchange.js'
import { Snapshots } from './kept/snapshots.js'
import { Pools } from './pools/pools.js'
import { Provision } from './provision.js'

const DAY = 86_400_000

export class Products implements AsyncDisposable {
  readonly images: Images
  readonly instances: Instances
  readonly snapshots: Snapshots
  readonly pools: Pools
  readonly provision: Provision
  /** The root file system of machines that runs get where no image is named. */
  readonly machineRoot: (scope: Scope) => Promise<RootFiles>
  readonly #keeper: ImageKeeper
  readonly #exchange: Exchange
  readonly #cleanup = new Disposables()

  /**
   * What an earlier daemon left is put in order; its pools are filled again.
   *
   * @throws ThawError INVALID_SETTING, STATE_UNWRITABLE
   */
  constructor(parts: {
    journal: Journal
    paths: Pick<Paths, 'state' | 'cache'>
    settings: DaemonSettings
    metrics: Metrics
    log: Log
  }) {
    const { journal, settings, metrics, log } = parts
    const { state, cache } = parts.paths
    const directory = placeOf(settings.snapshot_path, state)
    const instances = join(state, 'instances')
    this.#keeper = this.#cleanup.use(
      new ImageKeeper({
        pages: join(state, 'snapshot-pages'),
        places: () => [
          { directory, rest: settings.snapshot_pack },
          { directory: checkpointsOf(instances), rest: settings.pack },
        ],
        rest: Math.min(settings.snapshot_pack, settings.pack),
        unpacked: settings.unpacked,
        changed: (path) => this.snapshots.measure(path),
        log,
      }),
    )
    const care = this.#keeper
    const engine = new ProcessEngine(new CriuProvider(cache), (what) => log.info(what), care)
    if (settings.pool_size > settings.pool_limit) {
      throw new ThawError(
        'INVALID_SETTING',
        `pool_size = ${settings.pool_size}: it has to be from 1 to ${settings.pool_limit} (pool_limit).`,
      )
    }
    const tools = new VmToolsProvider(cache)
    const machines = new VmEngine(tools, (what) => log.info(what))
    this.machineRoot = (scope) => machineRoot(machines, tools.directory, scope)
    this.images = new Images(journal, join(state, 'images'), machines, log)
    this.instances = this.#cleanup.use(
      new Instances({ journal, images: this.images, engine, machines, care, directory: instances, log }),
    )
    // On one file system: what a temporary instance wrote is moved into its snapshot, not copied.
    const building = settings.snapshot_path === 'auto' ? join(state, 'building') : `${directory}.building`
    const group = this.#cleanup.use(ProcessGroup.open(directory, building, log))
    const rootOf = this.images.rootOf.bind(this.images)
    const diskOf = this.images.diskOf.bind(this.images)
    const bench = { engine, machines, group, rootless: needsUserNamespace(), rootOf, diskOf }
    const { snapshot_count: count, snapshot_disk: bytes, snapshot_days } = settings
    this.snapshots = this.#cleanup.use(
      new Snapshots({
        journal,
        images: this.images,
        bench,
        care,
        directory,
        logs: join(state, 'building-logs'),
        bounds: { count, bytes, unused: snapshot_days * DAY },
        log,
      }),
    )
    this.#exchange = { snapshots: this.snapshots, images: this.images, machines, keeper: this.#keeper }
    this.pools = this.#cleanup.use(
      new Pools({
        journal,
        snapshots: this.snapshots,
        bench: () => this.instances.bench,
        directory: join(state, 'members'),
        defaults: {
          size: settings.pool_size,
          refreshSeconds: settings.snapshot_refresh_secs,
          limit: settings.pool_limit,
        },
        log,
      }),
    )
    metrics.gauge('pool_members', 'Members of pools that stand there.', () => this.pools.members)
    this.provision = new Provision(
      {
        images: this.images,
        instances: this.instances,
        snapshots: this.snapshots,
        pools: this.pools,
        metrics,
        log,
      },
      { wait: settings.snapshot_wait * 1000, automatic: settings.snapshot_auto },
    )
  }

  /** How many programs would be lost with the daemon. */
  live(): number {
    return this.instances.live() + this.pools.members
  }

  /** @throws ThawError IMAGE_NOT_FOUND, HAS_DEPENDENTS while anything that was made of it needs it */
  removeImage(given: string): Image {
    const image = this.images.get(given)
    const users = [...this.instances.usersOfImage(image), ...this.snapshots.ofImage(image)]
    if (users.length > 0) {
      throw new ThawError('HAS_DEPENDENTS', `${image.name} is needed for ${users.join(', ')}.`, {
        hint: 'Remove that first (`thaw instance rm`, `thaw snapshot rm`).',
      })
    }
    this.images.remove(image)
    return image
  }

  /** Writes a snapshot into a file. @throws as exportSnapshot */
  export(snapshot: string, file: string, scope: Scope): Promise<ExportedSnapshot> {
    return exportSnapshot(this.#exchange, snapshot, file, scope)
  }

  /** Makes a snapshot of a file. @throws as importSnapshot */
  import(request: SnapshotImportRequest, scope: Scope): Promise<ImportedSnapshot> {
    return importSnapshot(this.#exchange, request, scope)
  }

  /** Removes pages of snapshots and checkpoints that are gone. */
  collect(): Promise<PagesCollected> {
    return this.#keeper.collect()
  }

  busy(): boolean {
    return this.snapshots.busy
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup[Symbol.asyncDispose]()
  }
}

/** A directory of this daemon alone: others may keep theirs, or anything else, beside it. */
function placeOf(path: DaemonSettings['snapshot_path'], state: string): string {
  if (path === 'auto') return join(state, 'snapshots')
  return join(path, `thaw-${createHash('sha1').update(state).digest('hex').slice(0, 8)}`)
}
