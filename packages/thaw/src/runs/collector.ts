/** What runs leave on disk: removes what nothing needs, and keeps the rest within its budget. */
import { readdirSync, rmSync } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Collected } from '@thaw/protocol'
import { isParked } from '../engines/engine.js'
import type { Journal, RunRow } from '../store/index.js'
import { branchesKept, HISTORY_FILE } from './history.js'
import { isAskedFor, outlasts, strayImages } from './kept.js'
import { MACHINES } from './run.js'
import type { Workshop } from './workshop.js'

export interface CollectorOptions {
  /** Most bytes on disk of recorded output, kept files and checkpoints. */
  budget: number
  /** Forgets a run that nothing is live of. */
  remove: (id: string) => Promise<void>
}

export class Collector {
  readonly #shop: Workshop
  readonly #journal: Journal
  readonly #options: CollectorOptions
  /** When the disk was last looked at, milliseconds since 1970. */
  #fitted = 0
  #fitting: Promise<number> | null = null

  constructor(shop: Workshop, journal: Journal, options: CollectorOptions) {
    this.#shop = shop
    this.#journal = journal
    this.#options = options
  }

  /** Thins checkpoints, and removes what nothing needs; then what was not used for longest, to fit the budgets. */
  async collect(): Promise<Collected> {
    const checkpoints = await this.#shop.thin()
    let records = 0
    let bytes = 0
    const remove = async (path: string) => {
      bytes += await bytesOf(path)
      records++
      rmSync(path, { recursive: true, force: true })
    }
    for (const name of readdirSync(this.#shop.paths.runs)) {
      const directory = join(this.#shop.paths.runs, name)
      const run = this.#shop.runs.get(name)
      if (run === undefined && this.#journal.getRun(name) === undefined) {
        await this.#shop.keeper.release(directory)
        await remove(directory)
        continue
      }
      const places = ['images', join(MACHINES, 'images')].map((place) => join(directory, place))
      const kept = this.#journal.listCheckpoints(name)
      const strays = this.#isIdle(name) ? places.flatMap((place) => strayImages(place, kept)) : []
      if (strays.length > 0) await this.#shop.keeper.release(directory)
      for (const stray of strays) await remove(stray)
      const needed = this.#needed(name, directory)
      for (const entry of readdirSync(directory)) {
        if (!needed.has(entry)) await remove(join(directory, entry))
      }
    }
    this.#fitted = 0
    bytes += await this.fit()
    await this.#shop.keeper.tidy()
    const pages = await this.#shop.keeper.collect()
    return { checkpoints, records, bytes: bytes + pages.bytes }
  }

  /**
   * Gives up what was not used for longest until the rest fits the budget: first the checkpoints that thaw took by
   * itself, then runs whole. A run that goes on is left alone, and one with a checkpoint that somebody asked for.
   *
   * @returns bytes that became free
   */
  fit(): Promise<number> {
    this.#fitting ??= this.#fit().finally(() => (this.#fitting = null))
    return this.#fitting
  }

  async #fit(): Promise<number> {
    const rows = this.#journal.listRuns().sort((a, b) => a.lastAt - b.lastAt)
    // Nothing grows but by runs.
    const isUsed = this.#shop.live.size > 0 || rows.some(({ lastAt }) => lastAt >= this.#fitted)
    if (!isUsed) return 0
    this.#fitted = Date.now()
    const sizes = await this.#sizes()
    const used = () => sum(sizes.values())
    const before = used()
    for (const giveUp of [(row: RunRow) => this.#dropImages(row), (row: RunRow) => this.#remove(row)]) {
      for (const row of rows) {
        if (used() <= this.#options.budget) return before - used()
        if (!this.#isIdle(row.id) || !(await giveUp(row))) continue
        await this.#shop.keeper.collect()
        // Nothing else has changed: all the others need not be walked again.
        const directory = join(this.#shop.paths.runs, row.id)
        for (const path of [directory, this.#shop.paths.pages]) sizes.set(path, await bytesOf(path))
      }
    }
    if (used() > this.#options.budget) {
      this.#shop.log.warn(
        'What runs keep on disk is over the budget, and all of it was asked for or is in use.',
        {
          bytes: used(),
          budget: this.#options.budget,
        },
      )
    }
    return before - used()
  }

  /** What each run takes on disk, and the pages of all of them. */
  async #sizes(): Promise<Map<string, number>> {
    const { runs, pages } = this.#shop.paths
    const sizes = new Map<string, number>()
    for (const path of [pages, ...readdirSync(runs).map((name) => join(runs, name))]) {
      sizes.set(path, await bytesOf(path))
    }
    return sizes
  }

  async #dropImages({ id }: RunRow): Promise<boolean> {
    const run = this.#shop.runs.get(id)
    const found = run?.parked().filter(({ image, kind }) => !isParked(image) && kind === 'moment')
    if (run === undefined || found === undefined || found.length === 0) return false
    await Promise.all(found.map((checkpoint) => this.#shop.giveUp(run, checkpoint)))
    return true
  }

  async #remove({ id }: RunRow): Promise<boolean> {
    const isAsked = (this.#shop.runs.get(id)?.parked() ?? []).some(({ kind }) => kind !== 'moment')
    if (isAsked || this.#journal.listCheckpoints(id).some(isAskedFor)) return false
    await this.#options.remove(id)
    return true
  }

  #isIdle(id: string): boolean {
    const run = this.#shop.runs.get(id)
    return run === undefined || (run.live.size === 0 && run.starting === 0)
  }

  /** Entries of a run's directory that something may still ask for. */
  #needed(id: string, directory: string): Set<string> {
    const run = this.#shop.runs.get(id)
    const needed = new Set([
      'store',
      'left',
      'temp',
      'images',
      'work',
      MACHINES,
      HISTORY_FILE,
      ...(run?.branches.map((branch) => branch.id) ?? branchesKept(directory)),
      // What a program had printed before a checkpoint that outlived its daemon.
      ...this.#journal.listCheckpoints(id).flatMap((one) => (outlasts(one) ? [one.branch] : [])),
    ])
    for (const { execution } of this.#shop.live.values()) needed.add(execution.record.id)
    return needed
  }
}

/** What a file, or all below a directory, takes on disk. What goes meanwhile counts as nothing. */
async function bytesOf(path: string): Promise<number> {
  const stat = await lstat(path).catch(() => null)
  if (stat === null) return 0
  let bytes = stat.blocks * 512
  if (!stat.isDirectory()) return bytes
  for (const name of await readdir(path).catch(() => [])) bytes += await bytesOf(join(path, name))
  return bytes
}

function sum(values: Iterable<number>): number {
  let all = 0
  for (const value of values) all += value
  return all
}
