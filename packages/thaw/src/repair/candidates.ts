/** The answers of one round: each made in a private copy of the project, checked before anybody tries it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RepairBundle } from '@thaw/protocol'
import type { Runs } from '../runs/index.js'
import type { Scope } from '../system/index.js'
import { checkCompiles } from './compiles.js'
import { checkEdits, Refused, unifiedDiff, type FileEdit } from './edit.js'
import type { Answerer } from './repairers/repairer.js'
import { Workplace } from './workplace.js'

export interface Candidate {
  /** From 1. */
  number: number
  /** None where it was refused. */
  edits: FileEdit[]
  diff: string
  refused: string | null
  place: Workplace
}

export interface CandidatesSpec {
  answerer: Answerer
  /** Which is to compile what is edited; null: it is not here to be asked. */
  python: string | null
  linesLeft: number
  /** For one answer. */
  seconds: number
}

export class Candidates implements AsyncDisposable {
  readonly #runs: Runs
  readonly #work: string
  readonly #spec: CandidatesSpec
  readonly #places: Workplace[] = []

  /** @param work directory for copies and bundles */
  constructor(runs: Runs, work: string, spec: CandidatesSpec) {
    this.#runs = runs
    this.#work = work
    this.#spec = spec
  }

  /** @throws ThawError where there will be no answer */
  async ask(bundle: RepairBundle, count: number, scope: Scope): Promise<Candidate[]> {
    const numbers = Array.from({ length: count }, (_, i) => i + 1)
    const found = await Promise.all(
      numbers.map((number) => this.#ask({ ...bundle, candidate: number }, scope)),
    )
    const seen = new Set<string>()
    for (const candidate of found) {
      if (candidate.refused !== null) continue
      if (seen.has(candidate.diff)) {
        candidate.edits = []
        candidate.refused = 'another candidate is the same'
      }
      seen.add(candidate.diff)
    }
    return found
  }

  async #ask(bundle: RepairBundle, scope: Scope): Promise<Candidate> {
    const { answerer, python, linesLeft, seconds } = this.#spec
    const { round, candidate: number, project } = bundle
    const directory = join(this.#work, `${round}-${number}`)
    const place = await Workplace.open(this.#runs.workshop, project, directory, scope)
    this.#places.push(place)
    const file = join(this.#work, 'bundles', `${round}-${number}.json`)
    await writeFile(file, `${JSON.stringify(bundle, null, 1)}\n`, { mode: 0o600 })
    try {
      const edits = await answerer.answer({ bundle, file, place, seconds }, scope)
      checkEdits(edits, linesLeft)
      await checkCompiles(edits, { project, python }, scope)
      place.put(edits)
      return { number, edits, diff: unifiedDiff(edits), refused: null, place }
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      return { number, edits: [], diff: '', refused: error.message, place }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const place of this.#places) place[Symbol.dispose]()
  }
}
