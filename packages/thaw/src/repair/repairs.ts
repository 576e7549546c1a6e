/** All repairs of one daemon. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RepairReport, type RepairSummary, type RepairUndone } from '@thaw/protocol'
import type { RunHandle, Runs } from '../runs/index.js'
import { ThawError, type Log, type Paths, type Scope } from '../system/index.js'
import { RepairRecord } from './record.js'
import { sweepTemporary } from './temporary.js'
import { Repair, type RepairSink, type RepairSpec } from './repair.js'

export class Repairs implements AsyncDisposable {
  readonly #directory: string
  readonly #runs: Runs
  readonly #log: Log
  /** Projects that are being repaired. */
  readonly #claimed = new Map<string, string>()
  readonly #active = new Set<Promise<unknown>>()
  readonly #ends = new AbortController()

  private constructor(directory: string, runs: Runs, log: Log) {
    this.#directory = directory
    this.#runs = runs
    this.#log = log
  }

  /** Brings back what a daemon that was killed has left half done. */
  static async create(options: { paths: Paths; runs: Runs; log: Log }): Promise<Repairs> {
    const directory = join(options.paths.state, 'repairs')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    sweepTemporary(options.paths)
    const repairs = new Repairs(directory, options.runs, options.log)
    for (const record of repairs.#records()) {
      try {
        await record.recover()
      } catch (error) {
        options.log.error('A repair could not be brought back.', { id: record.summary.id, error })
      }
    }
    return repairs
  }

  get busy(): boolean {
    return this.#active.size > 0
  }

  start(spec: RepairSpec, sink: RepairSink, scope: Scope): RunHandle<RepairReport> {
    const id = `x_${BigInt(`0x${randomBytes(8).toString('hex')}`)
      .toString(36)
      .padStart(13, '0')}`
    const place = {
      runs: this.#runs,
      id,
      directory: join(this.#directory, id),
      ends: this.#ends.signal,
      claim: (project: string) => this.#claim(project, id),
    }
    const signal = AbortSignal.any([scope.signal, this.#ends.signal])
    const repair = new Repair(place, spec, sink, { ...scope, signal })
    const done = repair.go()
    this.#active.add(done)
    const over = () => {
      this.#active.delete(done)
      for (const [project, holder] of this.#claimed) if (holder === id) this.#claimed.delete(project)
    }
    done.then(over, over)
    return repair.handle(done)
  }

  /** The latest first. */
  list(): RepairSummary[] {
    return this.#records()
      .map((record) => record.summary)
      .toSorted((a, b) => b.created_at.localeCompare(a.created_at))
  }

  /** @throws ThawError REPAIR_NOT_FOUND, AMBIGUOUS_ID */
  report(given: string): RepairReport {
    const id = this.#find(given, null)
    const file = join(this.#directory, id, 'report.json')
    if (!existsSync(file))
      throw new ThawError('REPAIR_NOT_FOUND', `${id} has no report: it did not come to its end.`)
    return RepairReport.parse(JSON.parse(readFileSync(file, 'utf8')))
  }

  /**
   * Gives the files what they held before the repair.
   *
   * @param given an id, a prefix of one, or `last`: of the project in which `cwd` lies, whose edits are in place
   * @throws ThawError REPAIR_NOT_FOUND, AMBIGUOUS_ID, FILES_CHANGED, RUN_BUSY
   */
  async undo(given: string, cwd: string | null): Promise<RepairUndone> {
    const id = this.#find(given, cwd)
    const record = RepairRecord.open(join(this.#directory, id))
    if (record === null) throw new ThawError('REPAIR_NOT_FOUND', `There is no repair ${id}.`)
    if ([...this.#claimed.values()].includes(id)) throw new ThawError('RUN_BUSY', `${id} is under way.`)
    return { id, files: await record.undo() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ends.abort()
    await Promise.allSettled(this.#active)
  }

  #claim(project: string, id: string): void {
    const holder = this.#claimed.get(project)
    if (holder !== undefined)
      throw new ThawError('RUN_BUSY', `${project} is being repaired already (${holder}).`)
    this.#claimed.set(project, id)
  }

  #find(given: string, cwd: string | null): string {
    const all = this.list()
    if (given === 'last') {
      const inside = (project: string) => cwd === null || cwd === project || cwd.startsWith(`${project}/`)
      const last = all.find(({ project, files }) => inside(project) && (cwd === null || files.length > 0))
      if (last !== undefined) return last.id
      throw new ThawError('REPAIR_NOT_FOUND', 'No repair is kept for this directory.')
    }
    const fitting = all.filter(({ id }) => id.startsWith(given) || id.startsWith(`x_${given}`))
    const [first, second] = fitting
    if (first === undefined) throw new ThawError('REPAIR_NOT_FOUND', `There is no repair ${given}.`)
    if (second === undefined) return first.id
    throw new ThawError('AMBIGUOUS_ID', `${given} fits ${fitting.map(({ id }) => id).join(', ')}.`)
  }

  #records(): RepairRecord[] {
    return readdirSync(this.#directory).flatMap((name) => {
      try {
        return RepairRecord.open(join(this.#directory, name)) ?? []
      } catch (error) {
        this.#log.warn('A repair cannot be read.', { name, error })
        return []
      }
    })
  }
}
