/** Commands that are not Python, and what became of the Python programs below them. */
import { randomBytes } from 'node:crypto'
import type { BelowEntry, RunReport } from '@thaw/protocol'

/** Programs listed in one report at most; loops of a shell may start very many. */
const LISTED = 1000

export class Launches {
  readonly #entries = new Map<string, BelowEntry[]>()

  /** Returns the token under which the programs below report. */
  open(): string {
    const token = randomBytes(9).toString('base64url')
    this.#entries.set(token, [])
    return token
  }

  /** One that became a run. Tokens of launches that are over are passed over: somebody was left behind. */
  ran(token: string, command: string[], report: RunReport): void {
    const { run, outcome, reason, seconds } = report
    this.#add(token, { command, run, outcome, seconds: seconds.total, reason })
  }

  /** One that ran as it was. */
  passed(token: string, command: string[], reason: string): void {
    this.#add(token, { command, run: null, outcome: null, seconds: null, reason })
  }

  close(token: string): BelowEntry[] {
    const entries = this.#entries.get(token) ?? []
    this.#entries.delete(token)
    return entries
  }

  #add(token: string, entry: BelowEntry): void {
    const entries = this.#entries.get(token)
    if (entries !== undefined && entries.length < LISTED) entries.push(entry)
  }
}
