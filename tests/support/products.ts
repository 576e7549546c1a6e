/** Everything that is made of images, without a daemon, in a directory of its own. */
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
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

/** The file of a snapshot that holds memory. */
export function pagesOf(path: string | null): string {
  const criu = join(path ?? '', 'criu')
  return join(criu, readdirSync(criu).find((name) => name.startsWith('pages-')) ?? '')
}

export class ProductBench implements AsyncDisposable {
  readonly directory: string
  readonly project: string
  #metrics = new Metrics({ version: '', build: '' })
  readonly scope = openScope()
  readonly lines: string[] = []
  readonly #settings: object
  #journal: Journal
  products: Products

  /** @param directory of one that was killed; default: a new one */
  constructor(
    settings: object = {},
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-products-'))),
  ) {
    this.directory = directory
    this.project = join(directory, 'project')
    mkdirSync(this.project, { recursive: true })
    this.#settings = settings
    this.#journal = new Journal(join(this.directory, 'journal.db'))
    this.products = this.#open()
  }

  #open(): Products {
    const note = (message: string, fields?: object) => {
      this.lines.push(message)
      this.onLine(message, fields)
    }
    const log: Log = { ...silentLog, info: note, warn: note, error: note, child: () => log }
    return new Products({
      journal: this.#journal,
      paths: { state: this.directory, cache: findPaths().cache },
      // Of itself only where a test is about that.
      settings: DaemonSettings.parse({ snapshot_auto: 0, ...this.#settings }),
      metrics: (this.#metrics = new Metrics({ version: '', build: '' })),
      log,
    })
  }

  /** Called at each line that is logged. */
  onLine: (message: string, fields?: object) => void = () => {}

  /** How often instances fell back since it was opened, by why. */
  async fallbacks(): Promise<Record<string, number>> {
    const found = (await this.#metrics.text()).matchAll(
      /^thaw_instance_fallbacks_total\{reason="(\w+)"\} (\d+)/gm,
    )
    return Object.fromEntries([...found].map(([, reason = '', count]) => [reason, Number(count)]))
  }

  /** As a daemon that ends, and the next. */
  async reopen(): Promise<void> {
    await this.products[Symbol.asyncDispose]()
    this.products = this.#open()
  }

  /** As if a file of a snapshot had been written so, by a daemon before. */
  async rewrite(snapshot: string, name: string, content: string): Promise<void> {
    const { path } = this.products.snapshots.get(snapshot)
    await this.products[Symbol.asyncDispose]()
    const row = this.#journal.snapshots.list().find((one) => one.snapshot.id === snapshot)
    if (row === undefined || path === null) throw new Error(`${snapshot} is nowhere`)
    writeFileSync(join(path, name), content)
    row.digests[name] = createHash('sha256').update(content).digest('hex')
    this.#journal.snapshots.record(row)
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

  /** Its directory stays. */
  async close(): Promise<void> {
    await this.products[Symbol.asyncDispose]()
    this.#journal[Symbol.dispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
