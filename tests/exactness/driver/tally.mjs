// Counts of what happened, as JSON for programs and as a table for people.
import { LongRuns } from './long-runs.mjs'
import { table } from './table.mjs'

const OUTCOMES = ['replayed', 'resumed', 'cold']
const VERDICTS = ['equal', 'syntax-error', 'addresses', 'unstable', 'discarded', 'different']

function emptyRow() {
  return { edits: 0, replayed: 0, resumed: 0, cold: 0, different: 0, coldSeconds: 0, thawSeconds: 0 }
}

/** A reason without what differs from case to case, so that equal reasons count together. */
function general(reason) {
  return reason
    .replace(/(["'`])(?:(?!\1).)*\1/g, '…')
    .replace(/[\w./<>-]*\/[\w./<>-]+|\b[\w-]+\.py\b/g, '…')
    .replace(/\b[cbr]_?[0-9a-f]{4,}\b|\d+(\.\d+)?/g, 'N')
}

export class Tally {
  constructor() {
    this.programs = {}
    this.kinds = {}
    this.reasons = { replayed: {}, resumed: {}, cold: {} }
    this.verdicts = Object.fromEntries(VERDICTS.map((name) => [name, 0]))
    this.firstRuns = { count: 0, coldSeconds: 0, thawSeconds: 0 }
    this.longRuns = new LongRuns()
    this.broken = 0
    this.differences = []
    this.unstable = []
    this.skipped = []
  }

  /** @param {import('./sequence.mjs').Step} step */
  add(program, sequence, step) {
    if (step.verdict === 'different' || step.verdict === 'unstable') {
      const { kind, what, differences, bundle, report } = step
      const list = step.verdict === 'different' ? this.differences : this.unstable
      list.push({ program, sequence, kind, what, outcome: report?.outcome ?? null, differences, bundle })
    }
    if (step.kind === 'first') {
      this.firstRuns.count += 1
      this.firstRuns.coldSeconds += step.coldSeconds
      this.firstRuns.thawSeconds += step.thawSeconds
      return
    }
    this.verdicts[step.verdict] += 1
    if (step.verdict === 'discarded') return
    if (step.broken) this.broken += 1
    this.longRuns.add(program, sequence, step)
    const outcome = step.report?.outcome
    for (const row of [(this.programs[program] ??= emptyRow()), (this.kinds[step.kind] ??= emptyRow())]) {
      row.edits += 1
      row.coldSeconds += step.coldSeconds
      row.thawSeconds += step.thawSeconds
      if (OUTCOMES.includes(outcome)) row[outcome] += 1
      if (step.verdict === 'different') row.different += 1
    }
    if (OUTCOMES.includes(outcome)) {
      const reason = step.report.reason ? general(step.report.reason) : 'no reason given'
      this.reasons[outcome][reason] = (this.reasons[outcome][reason] ?? 0) + 1
    }
  }

  leftBehind(what) {
    this.differences.push({
      program: null,
      sequence: null,
      kind: 'left behind',
      what,
      outcome: null,
      differences: [what],
    })
  }

  total() {
    const total = emptyRow()
    for (const row of Object.values(this.programs))
      for (const key of Object.keys(total)) total[key] += row[key]
    return total
  }

  /** Share of the edits that did not need a cold run, 0 to 1. */
  spared() {
    const { edits, replayed, resumed } = this.total()
    return edits === 0 ? 0 : (replayed + resumed) / edits
  }

  toJSON() {
    const {
      programs,
      kinds,
      reasons,
      verdicts,
      broken,
      longRuns,
      firstRuns,
      differences,
      unstable,
      skipped,
    } = this
    const total = this.total()
    return {
      total,
      spared: this.spared(),
      verdicts,
      broken,
      programs,
      kinds,
      reasons,
      longRuns,
      firstRuns,
      skipped,
      differences,
      unstable,
    }
  }

  toString() {
    const rows = Object.entries(this.programs).sort(([a], [b]) => a.localeCompare(b))
    const kinds = Object.entries(this.kinds).sort(([a], [b]) => a.localeCompare(b))
    const head = ['', 'edits', 'replayed', 'resumed', 'cold', 'different', 'cold s', 'thaw s', 'thaw/cold']
    const lines = [
      ...table([head, ...rows.map(cells), cells(['all', this.total()])]),
      '',
      ...table([head, ...kinds.map(cells)]),
      '',
      ...this.longRuns.lines(),
    ]
    for (const outcome of OUTCOMES) {
      const reasons = Object.entries(this.reasons[outcome]).sort((a, b) => b[1] - a[1])
      for (const [reason, count] of reasons) lines.push(`${outcome} ${count} x: ${reason}`)
    }
    const { count, coldSeconds, thawSeconds } = this.firstRuns
    lines.push(
      '',
      `first runs: ${count}, ${thawSeconds.toFixed(1)} s under thaw, ${coldSeconds.toFixed(1)} s plain`,
    )
    lines.push(`verdicts: ${VERDICTS.map((name) => `${name} ${this.verdicts[name]}`).join(', ')}`)
    lines.push(`edits that changed how the program exits: ${this.broken}`)
    lines.push(`replayed or resumed: ${(this.spared() * 100).toFixed(1)} %`)
    for (const { program, reason } of this.skipped) lines.push(`skipped ${program}: ${reason}`)
    for (const one of this.unstable) lines.push(`unstable ${one.program}, ${one.kind}: ${one.what}`)
    for (const one of this.differences) {
      lines.push(`DIFFERENT ${one.program}, ${one.kind} (${one.outcome}): ${one.what}`)
      for (const difference of one.differences) lines.push(`    ${difference}`)
      if (one.bundle) lines.push(`    kept in ${one.bundle}`)
    }
    lines.push(`${this.differences.length} differences`)
    return lines.join('\n') + '\n'
  }
}

function cells([name, row]) {
  const ratio = row.coldSeconds > 0 ? (row.thawSeconds / row.coldSeconds).toFixed(2) : '-'
  const counts = [row.edits, row.replayed, row.resumed, row.cold, row.different].map(String)
  return [name, ...counts, row.coldSeconds.toFixed(1), row.thawSeconds.toFixed(1), ratio]
}
