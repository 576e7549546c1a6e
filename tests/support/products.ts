/** Everything that is made of images, without a daemon, in a directory of its own. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  DaemonSettings,
  ImageDefinition,
  InstanceRequest,
  SnapshotRequest,
  type Image,
  type Instance,
  type InstanceRequestInput,
  type Snapshot,
  type SnapshotRequestInput,
} from '@thaw/protocol'
import { Products } from '../../packages/thaw/src/snapshots/products.js'
import { Journal } from '../../packages/thaw/src/store/index.js'
import { findPaths, Metrics, openScope, silentLog, type Log } from '../../packages/thaw/src/system/index.js'

export class ProductBench implements AsyncDisposable {
  readonly directory = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-products-')))
  readonly project = join(this.directory, 'project')
  readonly scope = openScope()
  readonly lines: string[] = []
  readonly #settings: object
  #journal: Journal
  products: Products

  constructor(settings: object = {}) {
    mkdirSync(this.project)
    this.#settings = settings
    this.#journal = new Journal(join(this.directory, 'journal.db'))
    this.products = this.#open()
  }

  #open(): Products {
    const note = (message: string) => void this.lines.push(message)
    const log: Log = { ...silentLog, info: note, warn: note, error: note, child: () => log }
    return new Products({
      journal: this.#journal,
      paths: { state: this.directory, cache: findPaths().cache },
      // Of itself only where a test is about that.
      settings: DaemonSettings.parse({ snapshot_auto: 0, ...this.#settings }),
      metrics: new Metrics({ version: '', build: '' }),
      log,
    })
  }

  /** As a daemon that ends, and the next. */
  async reopen(): Promise<void> {
    await this.products[Symbol.asyncDispose]()
    this.products = this.#open()
  }

  /** A command in the project's directory. */
  command(name: string, command: string[], more: object = {}): Promise<Image> {
    const definition = { kind: 'directory', name, path: this.project, command, ...more }
    return this.products.images.create(ImageDefinition.parse(definition), this.scope)
  }

  async start(request: InstanceRequestInput): Promise<Instance> {
    return await this.products.provision.create(InstanceRequest.parse(request), this.scope).ready
  }

  async end(one: Instance): Promise<void> {
    await this.products.instances.remove(one.id, { force: true, cascade: true })
  }

  async snapshot(request: SnapshotRequestInput): Promise<Snapshot> {
    const { id } = this.products.snapshots.create(SnapshotRequest.parse(request))
    return await this.products.snapshots.built(id, this.scope)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.products[Symbol.asyncDispose]()
    this.#journal[Symbol.dispose]()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
