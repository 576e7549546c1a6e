/** A unified diff that somebody wrote by hand, or a model: applied to the files of a project. */
import { applyPatch, parsePatch, type StructuredPatch } from 'diff'
import { checkPath, contentOf, Refused, type FileEdit } from './edit.js'

/** Of an answer. Characters. */
const ANSWER_LIMIT = 4 * 1024 * 1024
/** Lines of context that may differ: models quote from memory. */
const FUZZ = 2

/**
 * @param answer a diff, alone or among prose
 * @throws Refused where there is none, or it does not fit, or touches what it must not
 */
export function editsOf(answer: string, project: string): FileEdit[] {
  if (answer.length > ANSWER_LIMIT) throw new Refused(`the answer has ${answer.length} characters`)
  const text = diffIn(answer)
  if (text === null) throw new Refused('the answer holds no unified diff')
  let patches: StructuredPatch[]
  try {
    patches = parsePatch(recounted(text))
  } catch (error) {
    throw new Refused(`the diff cannot be read (${(error as Error).message})`)
  }
  const edits = new Map<string, FileEdit>()
  for (const patch of patches) {
    if (patch.hunks.length === 0 && patch.oldFileName === undefined) continue
    const [from, to] = [nameOf(patch.oldFileName), nameOf(patch.newFileName)]
    if (to === null) throw new Refused(`it removes ${from ?? 'a file'}`)
    if (from !== null && from !== to) throw new Refused(`it renames ${from}`)
    const path = checkPath(project, to)
    const known = edits.get(path) ?? { path, ...contentOf(project, path), after: null }
    const before = known.after ?? known.before
    if (from === null && before !== null) throw new Refused(`${path} is there already`)
    if (from !== null && before === null) throw new Refused(`there is no ${path}`)
    const after = applyPatch(before?.toString('utf8') ?? '', patch, {
      fuzzFactor: FUZZ,
      autoConvertLineEndings: true,
    })
    if (after === false) throw new Refused(`the diff does not fit ${path}`)
    edits.set(path, { ...known, after: Buffer.from(after) })
  }
  return [...edits.values()].filter(({ before, after }) => before === null || !before.equals(after))
}

/** The part that is a diff; of several fenced parts, all that are. */
function diffIn(answer: string): string | null {
  const fenced = [...answer.matchAll(/^```[^\n]*\n(.*?)^```/gms)].map((match) => match[1] ?? '')
  const diffs = fenced.filter((part) => /^--- /m.test(part) && /^@@/m.test(part))
  const source = diffs.length > 0 ? diffs.join('\n') : answer
  const start = /^(diff --git |--- )/m.exec(source)
  if (start === null || !/^\+\+\+ /m.test(source)) return null
  return source.slice(start.index)
}

/** `a/x.py` and `b/x.py` are x.py; null: no file. */
function nameOf(name: string | undefined): string | null {
  if (name === undefined || name === '/dev/null') return null
  return name.replace(/^[ab]\//, '')
}

/** With the numbers in the heads of hunks as their lines say: people and models miscount. */
function recounted(text: string): string {
  const lines = text.replace(/\n+$/, '').split('\n')
  const out: string[] = []
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string
    const head = /^@@(?: -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@)?/.exec(line)
    if (head === null) {
      // What stands between files: git's own lines, or prose.
      if (/^(diff --git |index |--- |\+\+\+ |new file|old mode|new mode|deleted file|rename )/.test(line))
        out.push(line)
      continue
    }
    const body: string[] = []
    while (at + 1 < lines.length && isOfHunk(lines, at + 1)) {
      const next = lines[++at] as string
      // Editors strip the blank of an empty context line.
      body.push(next === '' ? ' ' : next)
    }
    const count = (kinds: string) => body.filter((one) => kinds.includes(one[0] ?? '')).length
    out.push(`@@ -${head[1] ?? 1},${count(' -')} +${head[2] ?? 1},${count(' +')} @@`, ...body)
  }
  return `${out.join('\n')}\n`
}

function isOfHunk(lines: readonly string[], at: number): boolean {
  const line = lines[at] as string
  if (line.startsWith('--- ') && (lines[at + 1] ?? '').startsWith('+++ ')) return false
  return line === '' || /^[-+ \\]/.test(line)
}
