/** Recorded runs compared with cold ones. */
import { chmodSync, createWriteStream, lstatSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { RunReport, VerifyReport } from '@thaw/protocol'
import { diskState, isUnlisted } from '../../files/signature.js'
import type { Journal } from '../../store/index.js'
import { checkScope, ThawError, type Scope } from '../../system/index.js'
import { chainOf, segmentsOf, writtenUntil, type BranchRecord } from '../lineage.js'
import { printedOn } from '../printed.js'
import type { Run } from '../run.js'
import { SPOOL_LIMIT } from '../stdin.js'
import type { Workshop } from '../workshop.js'
import { keepBundle } from './bundle.js'
import { runCold, type ColdRun } from './cold.js'
import { compare, printedIn, thingAt, thingOf, type Result, type Thing } from './compare.js'
import { contentsMet, copyProject, isBelow, lookAt, type ProjectCopy } from './copy.js'
import { doubtsOf, effectsOf, whyOutdated } from './past.js'
import { runSandboxed } from './sandboxed.js'

/** Bytes of each stream kept of a cold run beyond what was recorded. */
const EXCESS = 16 * 1024 * 1024
/** Bytes of each stream that can be compared. */
const PRINTED_LIMIT = 256 * 1024 * 1024

interface Subject {
  run: Run
  leaf: BranchRecord
  outcome: RunReport
  python: string
}

interface Tried {
  cold: ColdRun
  copy: ProjectCopy
  result: Result
}

export class Verifier implements AsyncDisposable {
  readonly #shop: Workshop
  readonly #journal: Journal
  readonly #ends = new AbortController()
  readonly #active = new Set<Promise<unknown>>()
  readonly #works: string
  readonly #bundles: string

  constructor(shop: Workshop, journal: Journal) {
    this.#shop = shop
    this.#journal = journal
    this.#works = join(shop.paths.state, 'verify')
    this.#bundles = join(shop.paths.state, 'bundles')
    // Copies of a daemon that was killed.
    removeTree(this.#works)
  }

  get busy(): boolean {
    return this.#active.size > 0
  }

  /**
   * @param inTurn does something while no start of this run is under way
   * @throws ThawError NOT_VERIFIABLE, HAS_EFFECTS, RUN_BUSY, CANCELLED
   */
  verify(
    run: Run,
    branch: string | null,
    redoEffects: boolean,
    inTurn: <T>(work: () => Promise<T>) => Promise<T>,
    scope: Scope,
  ): Promise<VerifyReport> {
    const signal = AbortSignal.any([scope.signal, this.#ends.signal])
    const work = this.#verify(run, branch, redoEffects, inTurn, { ...scope, signal })
    this.#active.add(work)
    const over = () => void this.#active.delete(work)
    work.then(over, over)
    return work
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ends.abort()
    await Promise.allSettled(this.#active)
  }

  async #verify(
    run: Run,
    branch: string | null,
    redoEffects: boolean,
    inTurn: <T>(work: () => Promise<T>) => Promise<T>,
    scope: Scope,
  ): Promise<VerifyReport> {
    const id = this.#shop.newId('v')
    const work = join(this.#works, id)
    mkdirSync(work, { recursive: true, mode: 0o700 })
    try {
      const python = await this.#shop.anyPython(scope)
      const notes: string[] = []
      const { subject, copy, left } = await inTurn(async () => {
        await run.settling
        const found = { ...this.#subject(run, branch), python }
        const isOutside = found.leaf.engine === 'process'
        if (isOutside) notes.push(UNSEEN)
        if (isApart(found.leaf)) notes.push('not compared: what it wrote in a view of its own, which is gone')
        else checkEffects(found.leaf, run, redoEffects, notes)
        const made = await this.#copy(found, work, scope)
        const why = isOutside ? null : await whyOutdated(this.#shop, run, found.leaf, made, scope)
        if (why !== null) {
          throw new ThawError('NOT_VERIFIABLE', `It is not what ran any more: ${why}.`)
        }
        return { subject: found, copy: made, left: leftBy(run, found.leaf, notes) }
      })
      const doubts = this.#doubts(subject)
      const { leaf, outcome } = subject
      const recorded = await this.#recorded(subject, join(work, 'recorded'), left.files)
      if (!copy.private) {
        notes.push(
          'no private view of the file system is possible here: the cold run worked at another path, which was translated',
        )
      }
      const attempt = { recorded, unknown: left.unknown }
      const first = await this.#try(subject, copy, join(work, 'cold'), attempt, scope)
      let differences = compare(recorded, first.result, null)
      let second: Tried | null = null
      if (differences.length > 0) {
        const fresh = await this.#copy(subject, work, scope)
        second = await this.#try(subject, fresh, join(work, 'again'), attempt, scope)
        differences = compare(recorded, first.result, second.result)
      }
      const defect = differences.some(({ own }) => !own)
      if (defect && doubts.length > 0) {
        throw new ThawError(
          'NOT_VERIFIABLE',
          `A cold run does otherwise, which need not be a defect: ${doubts.join('; ')}.`,
        )
      }
      notes.push(...doubts)
      const report: VerifyReport = {
        run: run.identity.id,
        branch: leaf.id,
        verdict: defect ? 'different' : differences.length > 0 ? 'undetermined' : 'equal',
        differences,
        files: new Set([...recorded.files.keys(), ...first.result.files.keys()]).size,
        exit: { recorded: recorded.exit, cold: first.result.exit },
        seconds: {
          recorded: outcome.seconds.total,
          cold: first.cold.seconds,
          again: second?.cold.seconds ?? null,
        },
        same_path: copy.private,
        notes,
        bundle: null,
      }
      if (!defect || second === null) return report
      report.bundle = join(this.#bundles, id)
      removeTree(join(work, 'copy'))
      const evidence = { run, leaf, outcome, report, recorded, cold: first.result, again: second.result }
      keepBundle(work, report.bundle, evidence, this.#journal)
      return report
    } finally {
      removeTree(work)
    }
  }

  /** What is to be compared, if it can be. */
  #subject(run: Run, branch: string | null): Omit<Subject, 'python'> {
    const no = (why: string, hint?: string) =>
      new ThawError('NOT_VERIFIABLE', why, hint === undefined ? {} : { hint })
    if (run.live.size > 0) throw new ThawError('RUN_BUSY', `${run.identity.id} is running.`)
    const ended = run.branches.filter(
      ({ kind, end, engine }) => (kind === 'run' || engine === 'process') && end !== null,
    )
    const shown = run.onDisk !== null && ended.includes(run.onDisk) ? run.onDisk : ended.at(-1)
    const leaf = branch === null ? shown : run.branches.find(({ id }) => id === branch)
    if (leaf === undefined) {
      throw no(
        'Nothing is kept of what it ran on: it ran plainly, and so cold, or longer ago than is remembered.',
        'Programs that thaw resumes can be verified once they have run again.',
      )
    }
    if (leaf.kind !== 'run' && leaf.engine === 'fork') {
      throw no('What `thaw resume` began goes on from a state that was chosen; a cold run is something else.')
    }
    const outcome = this.#journal.getOutcome(leaf.id)
    if (leaf.end === null || outcome === undefined) throw no('It has not ended.')
    if (outcome.exit === null)
      throw no('It stopped at a checkpoint.', 'Let it run to its end, then verify it.')
    for (const { branch: one, limit } of segmentsOf(leaf)) {
      if (one.broken !== null && one.broken.seq <= limit)
        throw no(`Not all is known of what it did: ${one.broken.why}.`)
    }
    if (!leaf.end.complete && leaf.end.signal !== null && ENDED_BY_USERS.has(leaf.end.signal)) {
      throw no(`It was ended from outside, by ${leaf.end.signal}.`)
    }
    if (printedBytes(leaf) > PRINTED_LIMIT) {
      throw no(`It printed more than the ${PRINTED_LIMIT} bytes that are compared.`)
    }
    const sent = chainOf(leaf).some(({ id }) => {
      const spool = statSync(join(run.branchDirectory(id), 'stdin'), { throwIfNoEntry: false })
      return spool !== undefined && spool.size > 0
    })
    if (leaf.streams.terminal !== null && sent) {
      throw no(
        'When something is typed at a terminal decides where its echo stands: that cannot be repeated.',
      )
    }
    if (leaf.end.stdin > SPOOL_LIMIT) throw no('It took more on stdin than is kept.')
    return { run, leaf, outcome }
  }

  /** Why a difference would prove nothing. */
  #doubts({ run, leaf }: Subject): string[] {
    if (leaf.engine !== 'process') return []
    const began = this.#journal.getBranch(chainOf(leaf)[0]?.id ?? '')?.startedAt ?? 0
    return doubtsOf(run, leaf, began)
  }

  #copy({ run, leaf, python }: Subject, work: string, scope: Scope): Promise<ProjectCopy> {
    const directory = join(work, 'copy')
    removeTree(directory)
    const { home, state, runtime, cache } = this.#shop.paths
    const own = [home, state, runtime, cache].filter((path) => path !== null)
    return copyProject(python, run.identity.project, directory, leaf, own, scope)
  }

  /** What the run under thaw did. */
  async #recorded({ leaf }: Subject, directory: string, files: Map<string, Thing>): Promise<Result> {
    mkdirSync(directory, { mode: 0o700 })
    for (const stream of ['stdout', 'stderr'] as const) {
      const printed = printedOn(this.#journal, this.#shop.paths.runs, leaf.id, stream)
      await pipeline(Readable.from(printed), createWriteStream(join(directory, stream), { mode: 0o600 }))
    }
    const { code = null, signal = null } = leaf.end ?? {}
    return {
      exit: { code, signal },
      stdout: printedIn(directory, 'stdout'),
      stderr: printedIn(directory, 'stderr'),
      files,
    }
  }

  /** Runs it cold in the copy. What the run under thaw did not write is compared with what is in the project. */
  async #try(
    { run, leaf, python }: Subject,
    copy: ProjectCopy,
    directory: string,
    { recorded, unknown }: { recorded: Result; unknown: ReadonlySet<string> },
    scope: Scope,
  ): Promise<Tried> {
    const before = await lookAt(copy)
    checkScope(scope, 'copying the project')
    const limit = Math.max(recorded.stdout.length, recorded.stderr.length) + EXCESS
    const cold =
      leaf.engine === 'process'
        ? await runSandboxed(this.#shop, run, leaf, copy, { directory, limit }, scope)
        : await runCold(this.#shop, run, leaf, copy, { python, directory, limit }, scope)
    const after = await lookAt(copy)
    if (isApart(leaf)) recorded.files.clear()
    const touched = isApart(leaf)
      ? []
      : [...new Set([...before.keys(), ...after.keys()])].filter(
          (path) => before.get(path) !== after.get(path) && !unknown.has(path),
        )
    const place = (bytes: Buffer) => (copy.private ? bytes : translated(bytes, copy))
    const files = new Map<string, Thing>()
    for (const path of new Set([...recorded.files.keys(), ...touched])) {
      const { head, bytes } = thingAt(join(copy.directory, path))
      files.set(path, { head: place(Buffer.from(head)).toString(), bytes: place(bytes) })
    }
    // Nothing but a cold run's own doing is unknown to the record: it then left them as they are.
    for (const path of touched) {
      if (!recorded.files.has(path)) recorded.files.set(path, thingAt(join(copy.project, path)))
    }
    return {
      cold,
      copy,
      result: {
        exit: cold.exit,
        stdout: place(printedIn(directory, 'stdout')),
        stderr: place(printedIn(directory, 'stderr')),
        files,
      },
    }
  }
}

const UNSEEN =
  'what it does outside of its project is not known: network traffic and writes elsewhere, if any, were done again'
const ENDED_BY_USERS = new Set(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL', 'SIGQUIT'])

const isApart = (leaf: BranchRecord) => leaf.sandbox?.isPrivate === true

/** Of the stream on which more was printed, in the whole lineage. */
function printedBytes(leaf: BranchRecord): number {
  const ends = [leaf.end, ...chainOf(leaf).map(({ parent }) => parent)]
  const sum = (stream: 'stdout' | 'stderr') => ends.reduce((all, end) => all + (end?.offsets[stream] ?? 0), 0)
  return Math.max(sum('stdout'), sum('stderr'))
}

/** Refuses what a cold run would do again outside of its copy. */
function checkEffects(leaf: BranchRecord, run: Run, allowed: boolean, notes: string[]): void {
  const { project } = run.identity
  // Temporary files that are gone again leave nothing to be repeated.
  const outside = [...contentsMet(leaf)]
    .filter(([path, { pre }]) => !isBelow(path, project) && (pre !== null || diskState(path) !== null))
    .map(([path]) => `writing ${path}`)
  const all = [...effectsOf(leaf), ...outside]
  if (all.length === 0) return
  const told = all.slice(0, 3).join(', ') + (all.length > 3 ? ` and ${all.length - 3} more` : '')
  if (!allowed) throw new ThawError('HAS_EFFECTS', `A cold run would do again: ${told}.`)
  notes.push(`done again: ${told}`)
}

/** What the run left of each path that it wrote in its project, and the paths of which that is not known. */
function leftBy(
  run: Run,
  leaf: BranchRecord,
  notes: string[],
): { files: Map<string, Thing>; unknown: Set<string> } {
  const { project } = run.identity
  const files = new Map<string, Thing>()
  const unknown = new Set<string>()
  for (const path of writtenUntil(leaf, Infinity).keys()) {
    if (!isBelow(path, project) || path.split('/').some((_, i, names) => isUnlisted(names[i] ?? ''))) continue
    const name = path.slice(project.length + 1)
    const left = leaf.left.get(path) ?? 'unknown'
    const inPlace = run.onDisk === leaf && run.disk.get(path) === diskState(path)
    try {
      if (left !== 'unknown') files.set(name, thingOf(left))
      else if (inPlace) files.set(name, thingAt(path))
      else unknown.add(name)
    } catch {
      unknown.add(name)
    }
  }
  if (unknown.size > 0)
    notes.push(`not compared, since what the run left was not kept: ${[...unknown].join(', ')}`)
  return { files, unknown }
}

function translated(bytes: Buffer, copy: ProjectCopy): Buffer {
  const [from, to] = [copy.directory, copy.project].map((path) => Buffer.from(path).toString('latin1'))
  return Buffer.from(
    bytes.toString('latin1').replaceAll(from as string, () => to as string),
    'latin1',
  )
}

/** Also what is not writable for its owner. */
function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true })
  } catch {
    openTree(path)
    rmSync(path, { recursive: true, force: true })
  }
}

function openTree(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return
  if ((statSync(path).mode & 0o700) !== 0o700) chmodSync(path, 0o700)
  for (const name of readdirSync(path)) openTree(join(path, name))
}
