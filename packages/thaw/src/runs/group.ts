/** What programs with an agent have in common: who answers questions about code, and the base that copies descend from. */
import type { Anew, Mentioned, Places, Remapping, UnitDifference, Version } from '@thaw/protocol/host'
import type { Image } from '../engines/engine.js'
import { HostRefused } from '../engines/fork/host.js'
import { readSignatureOf, sameRead, settingsIn } from '../files/signature.js'
import type { Family } from '../engines/fork/family.js'
import type { Frame } from '@thaw/protocol/agent'
import { allowanceDifference, ThawError } from '../system/index.js'
import type { Root } from './lineage.js'
import type { CodeOracle } from './plan.js'

const AT_START = /^(PYTHON.*|PATH|LD_.*|LANG|LANGUAGE|LC_.*|TZ|MALLOC_.*|GLIBC_TUNABLES)$/

/** Settings of native libraries: of threads above all, which decide in what order floating point numbers are added. */
const IN_NATIVE_CODE =
  /_NUM_THREADS$|^(OMP|GOMP|KMP|OPENBLAS|GOTO|GOTOBLAS|MKL|BLIS|VECLIB|NPY|ARROW|POLARS|RAYON|TBB|CUDA|SQLITE|OPENSSL)_/

/** Variables that are read by the interpreter when it starts, or by native code, where no Python code can be watched. */
function startVariables(env: Record<string, string>): string[] {
  return Object.keys(env).filter((name) => AT_START.test(name) || IN_NATIVE_CODE.test(name))
}

/** What a base process for `wanted` would have otherwise than one made for `root`; null when nothing. */
export function misfit(root: Root, wanted: Root): string | null {
  const names = [...new Set([...startVariables(root.env), ...startVariables(wanted.env)])].sort()
  const name = names.find((one) => root.env[one] !== wanted.env[one])
  if (name !== undefined) return `${name} is not the same, which is read when the interpreter starts`
  if (root.terminal !== wanted.terminal) {
    const both = root.terminal !== null && wanted.terminal !== null
    return both ? 'its stdin was the terminal, or is now' : 'it was run with a terminal (-t), or is now'
  }
  if (root.joined !== wanted.joined) return 'stdout and stderr went to one place, or do now'
  if (root.network !== wanted.network) return 'its network (--net) is not the same'
  if (root.files?.directory !== wanted.files?.directory || root.files?.key !== wanted.files?.key)
    return 'its root file system is not the same'
  if (root.umask !== wanted.umask) return 'the umask is not the same'
  const difference = allowanceDifference(root.allowance, wanted.allowance)
  return difference === null ? null : `${difference} is not the same`
}

/** What an interpreter that has started read otherwise than one would read now; null when nothing. */
export function outdated({ start }: Root): string | null {
  const file = start?.files.find(([path, sig]) => !sameRead(readSignatureOf(path), sig))?.[0]
  if (file !== undefined) return `${file} changed, which the interpreter reads when it starts`
  const place = start?.settings.find(([directory, names]) => {
    const now = settingsIn(directory)
    return now?.length !== names?.length || now?.some((name) => names?.includes(name) === false)
  })
  return place === undefined
    ? null
    : `settings came to or went from ${place[0]}, which the interpreter reads when it starts`
}

export class Group implements CodeOracle, AsyncDisposable {
  readonly root: Root
  readonly family: Family
  /** Null where programs start in sandboxes. */
  readonly base: Image | null
  readonly #diffs = new Map<string, Promise<UnitDifference | null>>()
  readonly #remaps = new Map<string, Promise<Remapping | null>>()
  readonly #checks = new Map<string, Promise<void>>()

  constructor(root: Root, family: Family, base: Image | null) {
    this.root = root
    this.family = family
    this.base = base
  }

  get alive(): boolean {
    return this.family.host.alive && this.base?.alive !== false
  }

  /** Null where the file does not compile: all of it counts as edited, and the program itself will say so. */
  diff = (file: string, old: string, now: string): Promise<UnitDifference | null> => {
    const key = `${file}\0${old}\0${now}`
    let answer = this.#diffs.get(key)
    if (answer === undefined) {
      answer = this.#check(file, now).then(() =>
        this.#ask(this.family.host.ask({ do: 'diff', file, old, new: now })),
      )
      this.#diffs.set(key, answer)
    }
    return answer
  }

  remap = (file: string, old: string, now: string, frame: Frame | null): Promise<Remapping | null> => {
    const { unit, lasti, inline } = frame ?? { unit: '<module>', lasti: null, inline: false }
    const key = JSON.stringify([file, old, now, unit, lasti, inline])
    let answer = this.#remaps.get(key)
    if (answer === undefined) {
      answer = this.#ask(this.family.host.ask({ do: 'remap', file, old, new: now, unit, lasti, inline }))
      this.#remaps.set(key, answer)
    }
    return answer
  }

  mentioned = (
    names: string[],
    files: Version[],
    edited: Version[],
    deep: boolean,
    running: Frame[],
  ): Promise<Mentioned | null> =>
    this.#ask(
      this.family.host.ask({
        do: 'mentioned',
        names,
        files,
        edited,
        deep,
        running: running.map(({ file, unit, lasti }) => [file, unit, lasti]),
      }),
    )

  /** What an edit binds that was not bound so before; null where nobody can say. */
  anew = (file: string, old: string, now: string): Promise<Anew | null> =>
    this.#ask(this.family.host.ask({ do: 'anew', file, old, new: now }))

  /** Where in a file a program can be stopped. @throws ThawError SYNTAX_ERROR, PLACE_NOT_FOUND */
  async place(file: string, name: string | null, line: number | null): Promise<Places> {
    const hash = await this.compiled(file)
    return this.family.host.ask({ do: 'place', file, hash, name, line })
  }

  /** The hash of a file that compiles. @throws ThawError SYNTAX_ERROR, FILE_UNREADABLE */
  async compiled(file: string): Promise<string> {
    try {
      return (await this.family.host.ask({ do: 'check', file })).hash
    } catch (error) {
      if (!(error instanceof HostRefused)) throw error
      const { refusal } = error
      if (refusal.error !== 'SyntaxError') {
        const gone = refusal.error === 'ENOENT'
        const what = gone ? 'is gone' : `cannot be read (${refusal.error})`
        throw new ThawError('FILE_UNREADABLE', `${file} ${what}.`, {
          cause: error,
          ...(gone ? { hint: 'Put it back, or run the command again with `thaw run`.' } : {}),
        })
      }
      const { line, column, text = '', kind = 'SyntaxError' } = refusal
      const caret = `${' '.repeat(Math.max(0, (column ?? 1) - 1))}^`
      const shown = text === '' ? '' : `\n    ${text.trimEnd()}\n    ${caret}`
      throw new ThawError('SYNTAX_ERROR', `${file}:${line}: ${kind}: ${refusal.message}.${shown}`, {
        cause: error,
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.family[Symbol.asyncDispose]()
  }

  #check(file: string, now: string): Promise<void> {
    const key = `${file}\0${now}`
    let answer = this.#checks.get(key)
    if (answer === undefined) {
      answer = this.family.host.ask({ do: 'check', file }).then(
        () => {},
        () => void this.#checks.delete(key),
      )
      this.#checks.set(key, answer)
    }
    return answer
  }

  /** What cannot be answered counts as wholly changed. */
  async #ask<T>(question: Promise<T>): Promise<T | null> {
    try {
      return await question
    } catch (error) {
      this.family.log.info('A question about code was not answered.', { error })
      return null
    }
  }
}
