// One program edited again and again: after each edit a run under thaw and a cold run, compared.
import { constants } from 'node:os'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { keepBundle } from './bundle.mjs'
import {
  compareFiles,
  compareResults,
  maskAddresses,
  sameSyntaxError,
  snapshot,
  syntaxError,
} from './compare.mjs'
import { seeded } from './edits.mjs'
import { execute, limited } from './execute.mjs'
import { applyEdit, changesBetween, copyTree, plant, readSources } from './programs.mjs'

const COLD_DEADLINE = 15
const THAW_DEADLINE = 90
const OUTCOMES = new Set(['replayed', 'resumed', 'cold'])
// Fixed times two seconds apart: a .pyc names its source's time in whole seconds, and plain Python would take
// the stale one after a quick edit of equal length.
const FIRST_TIME = 1_700_000_000

const hidden = (path) => /(^|\/)(__pycache__|\.pytest_cache)\//.test(path)

/**
 * @typedef {object} Step
 * @property {string} kind
 * @property {string} what
 * @property {'equal'|'syntax-error'|'addresses'|'unstable'|'discarded'|'different'} verdict
 * @property {string[]} differences
 * @property {object|null} report what thaw wrote
 * @property {boolean=} broken whether the edited program exits otherwise than the first one
 * @property {number} coldSeconds
 * @property {number} thawSeconds
 * @property {string=} bundle where everything about a difference is kept
 */

export class Sequence {
  /**
   * @param {object} options
   * @param {import('./programs.mjs').Program} options.program
   * @param {string} options.seed
   * @param {number} options.number odd ones run with PYTHONDONTWRITEBYTECODE and the clock's own file times
   * @param {string} options.directory private, removed by close()
   * @param {{thaw: string[], python: string, env: Record<string, string>}} options.commands
   * @param {import('./edits.mjs').EditGenerator=} options.generator
   * @param {string[]|null} options.kinds
   * @param {string} options.out where bundles go
   */
  constructor(options) {
    Object.assign(this, options)
    this.warm = join(this.directory, 'warm')
    this.cold = join(this.directory, 'cold')
    this.before = join(this.directory, 'prev')
    this.source = join(this.directory, 'text')
    this.spaced = this.number % 2 === 0
    this.env = this.spaced ? this.commands.env : { ...this.commands.env, PYTHONDONTWRITEBYTECODE: '1' }
    this.random = seeded(`${this.seed}/${this.program.name}/${this.number}`)
    this.history = []
    this.states = []
    this.last = null
    this.healthy = null
    this.lastHealthy = 0
  }

  /** Plants the program and makes its first run. @returns {Promise<Step>} */
  async start() {
    mkdirSync(this.directory, { recursive: true })
    for (const tree of [this.warm, this.cold, this.source]) plant(this.program, tree, this.#time(0))
    return this.#begin()
  }

  /** The same from recorded sources. @param {Record<string, string>} sources */
  async startFrom(sources) {
    mkdirSync(this.directory, { recursive: true })
    for (const tree of [this.warm, this.cold, this.source]) {
      mkdirSync(tree)
      applyEdit(tree, sources, [], this.#time(0))
    }
    return this.#begin()
  }

  async #begin() {
    this.states.push(readSources(this.source))
    this.history.push({ kind: 'first', what: 'first run', changes: this.states[0], touched: [] })
    copyTree(this.cold, this.before)
    const step = await this.#compare(this.history[0])
    this.healthy = this.lastCode
    return step
  }

  /** Makes one more edit and compares. @returns {Promise<Step>} */
  async next() {
    return this.play(await this.#choose())
  }

  /** Makes a given edit and compares. @param {import('./edits.mjs').Edit} edit */
  async play(edit) {
    const seconds = this.#time(this.history.length)
    copyTree(this.cold, this.before)
    if (!edit.ofOutputs) applyEdit(this.source, edit.changes, edit.touched, seconds)
    applyEdit(this.cold, edit.changes, edit.touched, seconds)
    const environment = this.env
    this.env = { ...this.env, ...edit.environment }
    this.history.push(edit)
    const step = await this.#compare(edit, seconds)
    if (step.verdict === 'discarded') {
      this.history.pop()
      this.env = environment
      applyEdit(this.source, changesBetween(readSources(this.source), this.states.at(-1)), [], null)
    } else {
      this.states.push(readSources(this.source))
      this.last = edit
      if (!step.broken) this.lastHealthy = this.states.length - 1
    }
    return step
  }

  close() {
    rmSync(this.directory, { recursive: true, force: true })
  }

  #time(step) {
    return this.spaced ? FIRST_TIME + 2 * step : null
  }

  async #choose() {
    const broken = this.healthy !== null && this.lastCode !== this.healthy
    const syntax = this.last?.kind === 'syntax-error'
    if (!this.kinds && syntax) return this.#revert('fix', 1)
    if (!this.kinds && broken && this.random() < 0.6) {
      return this.#revert('fix', this.states.length - 1 - this.lastHealthy)
    }
    if (!this.kinds && this.states.length > 2 && this.random() < 0.06) {
      return this.#revert('revert', 1 + Math.floor(this.random() * Math.min(4, this.states.length - 1)))
    }
    if (!this.kinds && this.random() < 0.05) {
      const edit = this.#changeOutput()
      if (edit) return edit
    }
    if (!this.kinds && this.random() < 0.03) {
      const level = String(Math.floor(this.random() * 4))
      const environment = { EXACTNESS_LEVEL: level }
      return { kind: 'environment', what: `EXACTNESS_LEVEL=${level}`, changes: {}, touched: [], environment }
    }
    const seed = `${this.seed}/${this.program.name}/${this.number}/${this.history.length}/${this.random()}`
    return this.generator.generate(this.source, seed, this.program, this.kinds)
  }

  #revert(kind, back) {
    const state = this.states.at(-1 - back) ?? this.states[0]
    const changes = changesBetween(this.states.at(-1), state)
    return { kind, what: `the sources as they were ${back} edits ago`, changes, touched: [] }
  }

  /** The user lays hands on a file that the program wrote, or puts one beside it. */
  #changeOutput() {
    const sources = this.states.at(-1)
    const outputs = Object.entries(readSources(this.cold)).filter(
      ([path]) => !(path in sources) && !hidden(path),
    )
    if (outputs.length === 0) return null
    outputs.sort(([a], [b]) => (a < b ? -1 : 1))
    const [path, content] = outputs[Math.floor(this.random() * outputs.length)]
    if (this.random() < 0.3) {
      const beside = `${path}-${Math.floor(this.random() * 100)}`
      return {
        kind: 'output-added',
        what: `${beside} put beside what the program wrote`,
        changes: { [beside]: content },
        touched: [],
        ofOutputs: true,
      }
    }
    const remove = this.random() < 0.4
    const added = Buffer.concat([Buffer.from(content, 'base64'), Buffer.from('a line by hand\n')])
    return {
      kind: 'output-changed',
      what: `${path}, written by the program, ${remove ? 'removed' : 'gets another line'}`,
      changes: { [path]: remove ? null : added.toString('base64') },
      touched: [],
      ofOutputs: true,
    }
  }

  #argv() {
    return [this.commands.python, ...this.program.arguments]
  }

  #stdin(tree) {
    const path = this.program.stdin && join(tree, this.program.stdin)
    return path && existsSync(path) ? path : undefined
  }

  async #runCold() {
    const result = await execute(limited(this.#argv()), {
      cwd: this.cold,
      env: this.#environment(this.cold),
      stdin: this.#stdin(this.cold),
      deadline: this.program.deadline ?? COLD_DEADLINE,
    })
    return { result, tree: this.cold, files: snapshot(this.cold) }
  }

  /** With a temporary directory for each tree: what one run leaves there is another's input (pytest's numbered directories). */
  #environment(tree) {
    const TMPDIR = `${tree}.tmp`
    mkdirSync(TMPDIR, { recursive: true })
    return { ...this.env, TMPDIR }
  }

  async #runThawed() {
    const path = join(this.directory, 'report.json')
    rmSync(path, { force: true })
    const argv = [
      ...this.commands.thaw,
      'run',
      '-q',
      '--report',
      path,
      ...this.program.flags,
      '--',
      ...this.#argv(),
    ]
    const result = await execute(argv, {
      cwd: this.warm,
      env: this.#environment(this.warm),
      stdin: this.#stdin(this.warm),
      deadline: 2 * (this.program.deadline ?? THAW_DEADLINE / 2),
    })
    const report = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null
    return { result, tree: this.warm, files: snapshot(this.warm), report }
  }

  /** @returns {Promise<Step>} */
  async #compare(edit, seconds = null) {
    const cold = await this.#runCold()
    const step = { kind: edit.kind, what: edit.what, verdict: 'equal', differences: [], report: null }
    step.coldSeconds = cold.result.seconds
    step.thawSeconds = 0
    if (cold.result.ended || cold.result.stderr.includes('MemoryError')) {
      copyTree(this.before, this.cold)
      return { ...step, verdict: 'discarded' }
    }
    if (this.history.length > 1) applyEdit(this.warm, edit.changes, edit.touched, seconds)
    const untouched = snapshot(this.warm)
    const thawed = await this.#runThawed()
    this.lastCode = cold.result.code
    step.broken = this.healthy !== null && cold.result.code !== this.healthy
    step.report = thawed.report
    step.thawSeconds = thawed.result.seconds
    step.differences = this.#differences(thawed, cold)
    if (step.differences.length > 0) await this.#judge(step, edit, thawed, cold, untouched)
    return step
  }

  #differences(thawed, cold) {
    const found = compareResults(thawed, cold, this.program.normalise, constants.signals)
    found.push(...compareFiles(thawed.files, cold.files))
    const { report, result } = thawed
    if (!report) found.push('no report was written')
    else if (!OUTCOMES.has(report.outcome))
      found.push(`the report's outcome is ${JSON.stringify(report.outcome)}`)
    else if (report.exit?.signal ? !result.signal && result.code < 128 : report.exit?.code !== result.code) {
      found.push(`the report's exit is ${JSON.stringify(report.exit)}`)
    }
    return found
  }

  /** Decides what a difference means; only a real one stays "different". */
  async #judge(step, edit, thawed, cold, untouched) {
    const syntax = syntaxError(cold.result)
    const kept = compareFiles(thawed.files, cold.files).length === 0
    if (syntax && sameSyntaxError(syntax, thawed.result)) {
      if (kept || compareFiles(thawed.files, untouched).length === 0) {
        // thaw reported the error before it ran anything: the cold tree goes back, too.
        if (!kept) {
          copyTree(this.before, this.cold)
          applyEdit(this.cold, edit.changes, edit.touched, this.#time(this.history.length - 1))
        }
        step.verdict = 'syntax-error'
        step.differences = []
        return
      }
    }
    const masked = (one) => ({ ...one, result: maskAddresses(one.result) })
    const again = await this.#coldAgain(edit)
    const twice = this.#coldDifferences(again, cold)
    const twiceMasked = this.#coldDifferences(masked(again), masked(cold))
    if (
      twice.length > 0 &&
      twiceMasked.length === 0 &&
      this.#differences(masked(thawed), masked(cold)).length === 0
    ) {
      step.verdict = 'addresses'
      step.differences = []
      return
    }
    // Two cold runs that differ beyond addresses say nothing about thaw.
    step.verdict = twiceMasked.length > 0 ? 'unstable' : 'different'
    step.bundle = keepBundle(this, { step, edit, thawed, cold })
  }

  async #coldAgain(edit) {
    copyTree(this.before, this.cold)
    if (this.history.length > 1) {
      applyEdit(this.cold, edit.changes, edit.touched, this.#time(this.history.length - 1))
    }
    return this.#runCold()
  }

  #coldDifferences(again, cold) {
    const found = compareResults(again, cold, this.program.normalise, constants.signals)
    return [...found, ...compareFiles(again.files, cold.files)]
  }
}
