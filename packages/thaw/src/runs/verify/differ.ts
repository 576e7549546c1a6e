/** Differences of texts, line by line. */

/** Lines [from, to) of one text stand where [other, otherTo) of the other do. */
export interface Hunk {
  from: number
  to: number
  otherFrom: number
  otherTo: number
}

/** Edits looked for at most; texts further apart count as different from the first differing line to the last. */
const MOST_EDITS = 1000
const CONTEXT = 3

export function linesOf(text: string): string[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  else lines.push(`${lines.pop() ?? ''}\n\\ No newline at end`)
  return lines
}

/** Where two texts differ: the shortest way from one to the other (Myers), within bounds. */
export function hunksOf(one: readonly string[], other: readonly string[]): Hunk[] {
  let head = 0
  while (head < one.length && head < other.length && one[head] === other[head]) head++
  let tail = 0
  const most = Math.min(one.length, other.length) - head
  while (tail < most && one[one.length - 1 - tail] === other[other.length - 1 - tail]) tail++
  const a = one.slice(head, one.length - tail)
  const b = other.slice(head, other.length - tail)
  if (a.length === 0 && b.length === 0) return []
  const whole = [{ from: 0, to: a.length, otherFrom: 0, otherTo: b.length }]
  const found = a.length === 0 || b.length === 0 ? whole : (shortest(a, b) ?? whole)
  return found.map(({ from, to, otherFrom, otherTo }) => ({
    from: from + head,
    to: to + head,
    otherFrom: otherFrom + head,
    otherTo: otherTo + head,
  }))
}

function shortest(a: readonly string[], b: readonly string[]): Hunk[] | null {
  const limit = Math.min(a.length + b.length, MOST_EDITS)
  const trace: Map<number, number>[] = []
  let ends = new Map([[1, 0]])
  for (let edits = 0; edits <= limit; edits++) {
    trace.push(ends)
    const next = new Map<number, number>()
    for (let k = -edits; k <= edits; k += 2) {
      let x = goesDown(ends, k, edits) ? (ends.get(k + 1) ?? 0) : (ends.get(k - 1) ?? 0) + 1
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++
      next.set(k, x)
      if (x >= a.length && x - k >= b.length) return walkBack(trace, a.length, b.length)
    }
    ends = next
  }
  return null
}

/** Whether the path on diagonal k comes from a line that only the second text has. */
function goesDown(ends: ReadonlyMap<number, number>, k: number, edits: number): boolean {
  return k === -edits || (k !== edits && (ends.get(k - 1) ?? -1) < (ends.get(k + 1) ?? -1))
}

function walkBack(trace: readonly ReadonlyMap<number, number>[], x: number, y: number): Hunk[] {
  const hunks: Hunk[] = []
  for (let edits = trace.length - 1; edits > 0; edits--) {
    const ends = trace[edits] as ReadonlyMap<number, number>
    const k = x - y
    const down = goesDown(ends, k, edits)
    const before = down ? k + 1 : k - 1
    const fromX = ends.get(before) ?? 0
    const fromY = fromX - before
    const next = hunks[0]
    const to = down ? fromX : fromX + 1
    const otherTo = down ? fromY + 1 : fromY
    if (next !== undefined && next.from === to && next.otherFrom === otherTo) {
      next.from = fromX
      next.otherFrom = fromY
    } else hunks.unshift({ from: fromX, to, otherFrom: fromY, otherTo })
    x = fromX
    y = fromY
  }
  return hunks
}

/**
 * A unified diff of at most `most` lines.
 *
 * @param rest the line that stands for those left out
 */
export function unified(
  one: readonly string[],
  other: readonly string[],
  [name, otherName]: readonly [string, string],
  most: number,
  rest: string,
): string {
  const lines = [`--- ${name}`, `+++ ${otherName}`]
  const hunks = hunksOf(one, other)
  for (let i = 0; i < hunks.length;) {
    const group = [hunks[i++] as Hunk]
    for (let next = hunks[i]; next !== undefined && next.from - (group.at(-1) as Hunk).to <= 2 * CONTEXT;) {
      group.push(next)
      next = hunks[++i]
    }
    const first = group[0] as Hunk
    const last = group.at(-1) as Hunk
    const lead = Math.min(CONTEXT, first.from, first.otherFrom)
    const trail = Math.min(CONTEXT, one.length - last.to)
    const start = first.from - lead
    const otherStart = first.otherFrom - lead
    const sizes = [last.to + trail - start, last.otherTo + trail - otherStart] as const
    const at = (from: number, size: number) => `${size === 0 ? from : from + 1},${size}`
    lines.push(`@@ -${at(start, sizes[0])} +${at(otherStart, sizes[1])} @@`)
    let line = start
    for (const { from, to, otherFrom, otherTo } of group) {
      for (; line < from; line++) lines.push(` ${one[line]}`)
      for (; line < to; line++) lines.push(`-${one[line]}`)
      for (let n = otherFrom; n < otherTo; n++) lines.push(`+${other[n]}`)
    }
    for (; line < last.to + trail; line++) lines.push(` ${one[line]}`)
    if (lines.length > most) {
      lines.splice(most, Infinity, rest)
      break
    }
  }
  return `${lines.join('\n')}\n`
}

/** What stays together when a line is looked at word by word: 0.31 and 0x7f3a are one. */
const WORDS = /[\w.]+|\s+|./gu

function sameButFor(recorded: string, cold: string, again: string): boolean {
  const words = (line: string): string[] => line.match(WORDS) ?? []
  const [a, b, c] = [words(recorded), words(cold), words(again)]
  if (a.length !== b.length || b.length !== c.length) return b.join('') !== c.join('')
  return a.every((word, i) => word === b[i] || b[i] !== c[i])
}

/** Whether two cold runs differ wherever the record and the first of them do. */
export function isOwn(
  recorded: readonly string[],
  cold: readonly string[],
  again: readonly string[],
): boolean {
  if (recorded.length === cold.length && cold.length === again.length) {
    return recorded.every((line, i) => line === cold[i] || sameButFor(line, cold[i] ?? '', again[i] ?? ''))
  }
  const own = hunksOf(cold, again)
  return hunksOf(recorded, cold).every(({ otherFrom, otherTo }) =>
    own.some(({ from, to }) => from <= otherFrom && otherTo <= to),
  )
}
