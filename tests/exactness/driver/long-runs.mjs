// What thaw spares where there is something to spare: edits whose cold run took seconds.
import { table } from './table.mjs'

export const LONG_SECONDS = 2
const OUTCOMES = ['replayed', 'resumed', 'cold']

/** The value below which this share of an ascending list lies, linear between neighbours; null of nothing. */
function quantile(ascending, share) {
  if (ascending.length === 0) return null
  const place = (ascending.length - 1) * share
  const low = Math.floor(place)
  const high = Math.ceil(place)
  return ascending[low] + (ascending[high] - ascending[low]) * (place - low)
}

/** Quartiles of thaw's time over the cold run's. */
function quartiles(steps) {
  const ratios = steps.map((step) => step.thawSeconds / step.coldSeconds).sort((a, b) => a - b)
  const [lower, median, upper] = [0.25, 0.5, 0.75].map((share) => quantile(ratios, share))
  return { lower, median, upper }
}

/**
 * How many resumes went on from each tenth of the run before: where they could begin, by thaw's own count of the
 * program's work and its estimate of a cold run.
 */
function tenths(steps) {
  const counts = Array.from({ length: 10 }, () => 0)
  for (const { atSeconds, coldEstimate } of steps) {
    if (atSeconds === null || !(coldEstimate > 0)) continue
    counts[Math.min(9, Math.floor((10 * atSeconds) / coldEstimate))] += 1
  }
  return counts
}

function summary(steps) {
  const of = Object.fromEntries(
    OUTCOMES.map((outcome) => [outcome, steps.filter((step) => step.outcome === outcome)]),
  )
  return {
    edits: steps.length,
    replayed: of.replayed.length,
    resumed: of.resumed.length,
    cold: of.cold.length,
    resumedRatio: quartiles(of.resumed),
    sparedRatio: quartiles([...of.replayed, ...of.resumed]),
    resumedFrom: tenths(of.resumed),
  }
}

export class LongRuns {
  #steps = []

  /** @param {import('./sequence.mjs').Step} step one that was compared, other than a first run */
  add(program, sequence, { kind, what, verdict, coldSeconds, thawSeconds, report }) {
    if (coldSeconds <= LONG_SECONDS) return
    this.#steps.push({
      program,
      sequence,
      kind,
      what,
      verdict,
      outcome: report?.outcome ?? null,
      coldSeconds,
      thawSeconds,
      atSeconds: report?.checkpoint?.at_seconds ?? null,
      coldEstimate: report?.seconds?.cold_estimate ?? null,
      changed: report?.changed ?? [],
      reason: report?.reason ?? null,
    })
  }

  #byProgram() {
    const names = [...new Set(this.#steps.map((step) => step.program))].sort()
    return names.map((name) => [name, summary(this.#steps.filter((step) => step.program === name))])
  }

  toJSON() {
    return {
      overSeconds: LONG_SECONDS,
      all: summary(this.#steps),
      programs: Object.fromEntries(this.#byProgram()),
      steps: this.#steps,
    }
  }

  /** @returns {string[]} lines for people; none where no cold run was long */
  lines() {
    if (this.#steps.length === 0) return []
    const rows = [...this.#byProgram(), ['all', summary(this.#steps)]]
    const counts = ['edits', ...OUTCOMES]
    return [
      `cold runs of more than ${LONG_SECONDS} s; quartiles of thaw/cold over the resumed, then over the replayed and the resumed:`,
      ...table([
        ['', ...counts, '25 %', 'median', '75 %', '25 %', 'median', '75 %'],
        ...rows.map(([name, row]) => [
          name,
          ...counts.map((count) => String(row[count])),
          ...ratios(row.resumedRatio),
          ...ratios(row.sparedRatio),
        ]),
      ]),
      '',
      'of these, resumes by the tenth of the run at which they began:',
      ...table([
        ['', ...Array.from({ length: 10 }, (_, tenth) => `${tenth * 10} %`)],
        ...rows.map(([name, row]) => [name, ...row.resumedFrom.map(String)]),
      ]),
      '',
    ]
  }
}

function ratios({ lower, median, upper }) {
  return [lower, median, upper].map((ratio) => (ratio === null ? '-' : ratio.toFixed(2)))
}
