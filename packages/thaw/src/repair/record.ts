/** One repair on disk: what it was, its steps, its patch, its report. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { RepairSummary, type RepairReport } from '@thaw/protocol'
import { ThawError, writeFileAtomic } from '../system/index.js'
import { unifiedDiff } from './edit.js'
import { Steps } from './steps.js'

const MANIFEST = 'repair.json'
const PATCH = 'patch.diff'
const REPORT = 'report.json'

export class RepairRecord {
  readonly directory: string
  readonly steps: Steps
  #kept: RepairSummary

  private constructor(directory: string, kept: RepairSummary) {
    this.directory = directory
    this.#kept = kept
    this.steps = new Steps(join(directory, 'steps'))
  }

  /** @throws ThawError STATE_UNWRITABLE */
  static async create(
    directory: string,
    about: Pick<RepairSummary, 'id' | 'command' | 'project'>,
  ): Promise<RepairRecord> {
    const record = new RepairRecord(directory, {
      ...about,
      state: 'open',
      created_at: new Date().toISOString(),
      outcome: null,
      files: [],
      patch: null,
    })
    try {
      mkdirSync(join(directory, 'steps'), { recursive: true, mode: 0o700 })
      await record.#write()
    } catch (error) {
      throw new ThawError('STATE_UNWRITABLE', `${directory} cannot be written.`, { cause: error })
    }
    return record
  }

  /** Null where the directory holds no repair. */
  static open(directory: string): RepairRecord | null {
    const file = join(directory, MANIFEST)
    if (!existsSync(file)) return null
    const kept = RepairSummary.safeParse(JSON.parse(readFileSync(file, 'utf8')))
    return kept.success ? new RepairRecord(directory, kept.data) : null
  }

  get summary(): RepairSummary {
    return this.#kept
  }

  get project(): string {
    return this.#kept.project
  }

  /** Brings the patch up to the steps that are in place. Returns its file; null where there is none. */
  async keepPatch(): Promise<string | null> {
    const edits = this.steps.together()
    const file = join(this.directory, PATCH)
    if (edits.length > 0) await writeFileAtomic(file, unifiedDiff(edits))
    else rmSync(file, { force: true })
    await this.#change({ files: edits.map(({ path }) => path), patch: edits.length > 0 ? file : null })
    return this.#kept.patch
  }

  async finish(report: RepairReport): Promise<void> {
    await writeFileAtomic(join(this.directory, REPORT), `${JSON.stringify(report, null, 2)}\n`)
    await this.#change({ state: 'ended', outcome: report.outcome })
  }

  /** After an end of thaw in the middle of it. */
  async recover(): Promise<void> {
    const { state } = this.#kept
    this.steps.recover()
    if (state !== 'open') return
    await this.keepPatch()
    await this.#change({ state: 'interrupted' })
  }

  /**
   * Gives the files what they held before the repair.
   *
   * @returns the files
   * @throws ThawError FILES_CHANGED; nothing is changed then
   */
  async undo(): Promise<string[]> {
    const disturbed = this.steps.disturbed()
    if (disturbed.length > 0) {
      const patch = this.#kept.patch ?? 'the patch'
      throw new ThawError('FILES_CHANGED', `${disturbed.join(', ')}: changed since the repair.`, {
        hint: `Take the patch out by hand: patch -R -p1 < ${patch}.`,
        details: { files: disturbed, patch: this.#kept.patch },
      })
    }
    const files = this.steps.together().map(({ path }) => path)
    for (const number of this.steps.numbers().reverse()) this.steps.takeBack(number)
    await this.#change({ state: 'undone', files: [] })
    return files
  }

  async #change(part: Partial<RepairSummary>): Promise<void> {
    this.#kept = { ...this.#kept, ...part }
    await this.#write()
  }

  async #write(): Promise<void> {
    await writeFileAtomic(join(this.directory, MANIFEST), `${JSON.stringify(this.#kept, null, 1)}\n`)
  }
}
