/** Whoever asked for the repair answers itself: a person in an editor, or a program over the API. */
import type { RepairBundle } from '@thaw/protocol'
import { ThawError, withTimeout, within, type Scope } from '../../system/index.js'
import { editsOf } from '../diff.js'
import { Refused, type FileEdit } from '../edit.js'
import { noUsage, type Answerer, type Question } from './repairer.js'

export type CallersAnswer = { diff: string | null; give_up: boolean }

export class CallerRepairer implements Answerer {
  readonly usage = noUsage()
  readonly #ask: (bundle: RepairBundle, directory: string) => Promise<CallersAnswer>
  /** A person answers one question after the other. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(ask: (bundle: RepairBundle, directory: string) => Promise<CallersAnswer>) {
    this.#ask = ask
  }

  answer(question: Question, scope: Scope): Promise<FileEdit[]> {
    const mine = this.#turn.then(() => this.#answer(question, scope))
    this.#turn = mine.catch(() => {})
    return mine
  }

  async #answer({ bundle, place, seconds }: Question, scope: Scope): Promise<FileEdit[]> {
    const asked = this.#ask(bundle, place.copy.directory)
    const { diff, give_up } = await within(withTimeout(scope, seconds * 1000), 'waiting for an answer', asked)
    if (give_up) throw new ThawError('CANCELLED', 'The repairer gave up.')
    if (diff !== null) return editsOf(diff, bundle.project)
    const edited = await place.edits()
    if (edited.length === 0) throw new Refused('nothing was edited')
    return edited
  }
}
