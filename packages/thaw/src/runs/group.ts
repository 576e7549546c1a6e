/** A base process with everything that descends from it. */
import type { UnitDifference, Remapping } from '@thaw/protocol/host'
import type { Image } from '../engines/engine.js'
import { Family } from '../engines/fork/family.js'
import { HostRefused } from '../engines/fork/host.js'
import type { Frame } from '@thaw/protocol/agent'
import type { Root } from './lineage.js'
import type { CodeOracle } from './plan.js'

/** An edited file does not compile. */
export class SyntaxProblem extends Error {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly text: string
  readonly kind: string

  constructor(file: string, { refusal }: HostRefused) {
    super(refusal.message)
    this.name = 'SyntaxProblem'
    this.file = file
    this.line = refusal.line ?? 1
    this.column = refusal.column ?? 0
    this.text = refusal.text ?? ''
    this.kind = refusal.kind ?? 'SyntaxError'
  }

  /** As the interpreter prints it. */
  report(): string {
    const text = this.text.replace(/\n[^]*$/, '')
    const code = text.trimStart()
    const lines = [`  File "${this.file}", line ${this.line}`]
    if (code !== '') {
      lines.push(`    ${code.trimEnd()}`)
      const at = this.column - 1 - (text.length - code.length)
      if (this.column > 0 && at >= 0) lines.push(`    ${' '.repeat(at)}^`)
    }
    return `${lines.join('\n')}\n${this.kind}: ${this.message}\n`
  }
}

/** Variables that the interpreter, the loader or the C library read before any Python code can be watched. */
export function startEnvironment(env: Record<string, string>): string {
  const names = Object.keys(env).filter((name) => /^(PYTHON.*|PATH|LD_.*|LANG|LANGUAGE|LC_.*|TZ)$/.test(name))
  return JSON.stringify(names.sort().map((name) => [name, env[name]]))
}

export class Group implements CodeOracle, AsyncDisposable {
  readonly root: Root
  readonly family: Family
  readonly base: Image
  readonly #diffs = new Map<string, Promise<UnitDifference | null>>()
  readonly #remaps = new Map<string, Promise<Remapping | null>>()
  readonly #checks = new Map<string, Promise<void>>()

  constructor(root: Root, family: Family, base: Image) {
    this.root = root
    this.family = family
    this.base = base
  }

  get alive(): boolean {
    return this.family.host.alive && this.base.alive
  }

  /** @throws SyntaxProblem when the file as it is now does not compile */
  diff = (file: string, old: string, now: string): Promise<UnitDifference | null> => {
    const key = `${file}\0${old}\0${now}`
    let answer = this.#diffs.get(key)
    if (answer === undefined) {
      answer = this.#check(file, now).then(() => this.#ask(this.family.host.ask({ do: 'diff', file, old, new: now })))
      this.#diffs.set(key, answer)
      answer.catch(() => this.#diffs.delete(key))
    }
    return answer
  }

  remap = (file: string, old: string, now: string, frame: Frame): Promise<Remapping | null> => {
    const { unit, lasti, inline } = frame
    const key = JSON.stringify([file, old, now, unit, lasti, inline])
    let answer = this.#remaps.get(key)
    if (answer === undefined) {
      answer = this.#ask(this.family.host.ask({ do: 'remap', file, old, new: now, unit, lasti, inline }))
      this.#remaps.set(key, answer)
    }
    return answer
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.family[Symbol.asyncDispose]()
  }

  #check(file: string, now: string): Promise<void> {
    const key = `${file}\0${now}`
    let answer = this.#checks.get(key)
    if (answer === undefined) {
      answer = this.family.host.ask({ do: 'check', file }).then(
        () => {},
        (error: unknown) => {
          this.#checks.delete(key)
          if (error instanceof HostRefused && error.refusal.error === 'SyntaxError') throw new SyntaxProblem(file, error)
        },
      )
      this.#checks.set(key, answer)
    }
    return answer
  }

  /** What cannot be answered counts as wholly changed; only a broken source is worth an error. */
  async #ask<T>(question: Promise<T>): Promise<T | null> {
    try {
      return await question
    } catch (error) {
      this.family.log.info('A question about code was not answered.', { error })
      return null
    }
  }
}
