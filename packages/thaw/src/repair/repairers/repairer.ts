/** Who edits. */
import type { RepairBundle } from '@thaw/protocol'
import type { Scope } from '../../system/index.js'
import type { FileEdit } from '../edit.js'
import type { Workplace } from '../workplace.js'

export interface Question {
  bundle: RepairBundle
  /** The same, as a file. */
  file: string
  place: Workplace
  /** For one answer. */
  seconds: number
}

/** What models have taken so far. */
export interface Usage {
  read: number
  written: number
  /** Null where no prices are known. */
  dollars: number | null
}

export interface Answerer {
  readonly usage: Usage
  /**
   * @throws Refused where the answer cannot be taken: the next one may be better
   * @throws ThawError where there will be none
   */
  answer(question: Question, scope: Scope): Promise<FileEdit[]>
}

export const noUsage = (): Usage => ({ read: 0, written: 0, dollars: null })
