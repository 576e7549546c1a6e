/**
 * Accepted edits on disk: each step keeps what its files held before and after. An intent is whole on disk before the first
 * file changes, and marked as done after the last one, so that whatever ends thaw in between, the files are brought back to
 * what they were before the step.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  rmdirSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { ThawError } from '../system/error.js'
import type { FileEdit } from './edit.js'

const Intent = z.object({
  project: z.string(),
  state: z.enum(['begun', 'done']),
  files: z.array(
    z.object({
      path: z.string(),
      /** Names of the kept contents; null: there was no file. */
      before: z.string().nullable(),
      after: z.string(),
      mode: z.number().int(),
      /** Seconds. */
      modified: z.number().nullable(),
      /** Directories that the step makes, the outermost first. */
      made: z.array(z.string()),
      /** The temporary file beside it. */
      temporary: z.string(),
    }),
  ),
})
type Intent = z.infer<typeof Intent>
type IntentFile = Intent['files'][number]

const MANIFEST = 'step.json'

export class Steps {
  readonly #directory: string

  /** @param directory of one repair; steps are numbered below it */
  constructor(directory: string) {
    this.#directory = directory
  }

  /** Of steps that are in place, the oldest first. */
  numbers(): number[] {
    if (!existsSync(this.#directory)) return []
    return readdirSync(this.#directory)
      .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
      .map(Number)
      .toSorted((a, b) => a - b)
  }

  /** Puts an edit in place. @throws ThawError STATE_UNWRITABLE; the files are then as they were */
  accept(project: string, edits: readonly FileEdit[]): number {
    const number = (this.numbers().at(-1) ?? 0) + 1
    const step = this.#step(number)
    const unfinished = `${step}.tmp`
    try {
      rmSync(unfinished, { recursive: true, force: true })
      mkdirSync(unfinished, { recursive: true, mode: 0o700 })
      const files = edits.map((edit, at) => keep(unfinished, project, edit, at))
      writeSynced(join(unfinished, MANIFEST), manifest({ project, state: 'begun', files }), 0o600)
      syncDirectory(unfinished)
      renameSync(unfinished, step)
      syncDirectory(this.#directory)
    } catch (error) {
      rmSync(unfinished, { recursive: true, force: true })
      throw unwritable(this.#directory, error)
    }
    try {
      const intent = this.#read(number)
      for (const file of intent.files) {
        for (const directory of file.made) mkdirSync(directory)
        replace(join(project, file.path), readFileSync(join(step, file.after)), file.mode, file.temporary)
      }
      this.#mark(number, { ...intent, state: 'done' })
      return number
    } catch (error) {
      this.#takeBack(number)
      throw unwritable(project, error)
    }
  }

  /**
   * Gives the files of a step the content they had before it, but for those that somebody has changed since.
   *
   * @returns paths that were left as they are
   */
  takeBack(number: number): string[] {
    return this.#takeBack(number)
  }

  /** Takes back a step that was under way when thaw was ended. @returns whether there was one */
  recover(): boolean {
    let found = false
    if (!existsSync(this.#directory)) return false
    for (const name of readdirSync(this.#directory)) {
      if (/^step-\d+\.tmp$/.test(name)) rmSync(join(this.#directory, name), { recursive: true, force: true })
    }
    for (const number of this.numbers().reverse()) {
      if (this.#read(number).state === 'done') continue
      this.#takeBack(number)
      found = true
    }
    return found
  }

  /** Paths that were changed since by somebody else, of all steps. */
  disturbed(): string[] {
    const last = new Map<string, boolean>()
    for (const number of this.numbers()) {
      const { project, files } = this.#read(number)
      for (const file of files) {
        const now = contentAt(join(project, file.path))
        last.set(file.path, now !== null && now.equals(readFileSync(join(this.#step(number), file.after))))
      }
    }
    return [...last].flatMap(([path, same]) => (same ? [] : [path]))
  }

  /** All steps together: what each file held before the first and after the last one. */
  together(): FileEdit[] {
    const edits = new Map<string, FileEdit>()
    for (const number of this.numbers()) {
      const step = this.#step(number)
      for (const { path, before, after, mode } of this.#read(number).files) {
        const first = edits.get(path)
        const was = before === null ? null : readFileSync(join(step, before))
        edits.set(path, {
          path,
          before: first === undefined ? was : first.before,
          after: readFileSync(join(step, after)),
          mode,
        })
      }
    }
    return [...edits.values()].filter(({ before, after }) => before === null || !before.equals(after))
  }

  #takeBack(number: number): string[] {
    const step = this.#step(number)
    const { project, files } = this.#read(number)
    const left: string[] = []
    for (const file of [...files].reverse()) {
      rmSync(file.temporary, { force: true })
      const target = join(project, file.path)
      const [now, after] = [contentAt(target), readFileSync(join(step, file.after))]
      const before = file.before === null ? null : readFileSync(join(step, file.before))
      const untouched = before === null ? now === null : now !== null && now.equals(before)
      if (!untouched && (now === null || !now.equals(after))) left.push(file.path)
      else if (!untouched) putBack(target, before, file)
      for (const directory of [...file.made].reverse()) removeEmpty(directory)
    }
    rmSync(step, { recursive: true, force: true })
    return left
  }

  #step(number: number): string {
    return join(this.#directory, `step-${number}`)
  }

  #read(number: number): Intent {
    return Intent.parse(JSON.parse(readFileSync(join(this.#step(number), MANIFEST), 'utf8')))
  }

  #mark(number: number, intent: Intent): void {
    const file = join(this.#step(number), MANIFEST)
    replace(file, Buffer.from(manifest(intent)), 0o600, `${file}.tmp`)
  }
}

function manifest(intent: Intent): string {
  return `${JSON.stringify(intent, null, 1)}\n`
}

/** Keeps both contents of a file, and says what is to be done. */
function keep(
  step: string,
  project: string,
  { path, before, after, mode }: FileEdit,
  at: number,
): IntentFile {
  const target = join(project, path)
  if (before !== null) writeSynced(join(step, `${at}.before`), before, 0o600)
  writeSynced(join(step, `${at}.after`), after, 0o600)
  const made: string[] = []
  for (let directory = dirname(target); !existsSync(directory); directory = dirname(directory)) {
    made.unshift(directory)
  }
  return {
    path,
    before: before === null ? null : `${at}.before`,
    after: `${at}.after`,
    mode,
    modified: before === null ? null : lstatSync(target).mtimeMs / 1000,
    made,
    temporary: `${target}.${randomBytes(6).toString('hex')}.thaw`,
  }
}

function putBack(target: string, before: Buffer | null, file: IntentFile): void {
  if (before === null) {
    rmSync(target, { force: true })
    syncDirectory(dirname(target))
    return
  }
  replace(target, before, file.mode, file.temporary)
  if (file.modified !== null) utimesSync(target, file.modified, file.modified)
}

function contentAt(path: string): Buffer | null {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true ? readFileSync(path) : null
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory)
  } catch {
    // Somebody has put something there, or it was never made.
  }
}

function replace(target: string, content: Uint8Array, mode: number, temporary: string): void {
  try {
    writeSynced(temporary, content, mode)
    chmodSync(temporary, mode)
    renameSync(temporary, target)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  syncDirectory(dirname(target))
}

function writeSynced(file: string, content: string | Uint8Array, mode: number): void {
  const fd = openSync(file, 'w', mode)
  try {
    writeFileSync(fd, content)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function unwritable(directory: string, error: unknown): ThawError {
  const { code, message } = error as NodeJS.ErrnoException
  return new ThawError(
    'STATE_UNWRITABLE',
    `An edit could not be put in place below ${directory} (${code ?? message}).`,
    {
      cause: error,
    },
  )
}
