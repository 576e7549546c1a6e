/** One repair: run, diagnose, have it edited, go on; until it succeeds or a bound is reached. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type {
  Failure,
  RepairReport,
  RepairRequest,
  ResumeSpec,
  RunReport,
  SignalName,
  StartRequest,
  TriedEdit,
  VerifyReport,
} from '@thaw/protocol'
import type { RunHandle, Runs, RunSink } from '../runs/index.js'
import { exitCode, ThawError, type Scope } from '../system/index.js'
import { Attempt, type Attempted, type Begin } from './attempt.js'
import { bundleOf, resumable } from './bundle.js'
import { Candidates, type Candidate } from './candidates.js'
import { changedLines, Refused } from './edit.js'
import { failureOf, isSame, whyNoHelp, type Place } from './failure.js'
import { Input } from './input.js'
import { Mask } from './mask.js'
import { RepairRecord } from './record.js'
import { nativeStack } from './native.js'
import { openRepairer } from './repairers/index.js'
import type { CallersAnswer } from './repairers/caller.js'
import { noUsage, type Answerer } from './repairers/repairer.js'
import { runShell } from './shell.js'
import { Shown } from './shown.js'
import { makeTemporary } from './temporary.js'
import { tryAll } from './trials.js'
import type { Workplace } from './workplace.js'

/** Seconds for the user's check. */
const CHECK_TIME = 600
/** Checkpoints that a hot resume is tried from with one edit. */
const HOT_TRIES = 5
const TIMED_OUT = 124

export interface RepairSpec extends Omit<RepairRequest, 'run'> {
  /** Of repairers and checks; the program's may be another one. */
  env: Record<string, string>
  run: StartRequest
}

/** Where everything that a repair says goes. */
export interface RepairSink extends RunSink {
  /** @param detail for those who want to know all */
  note(text: string, detail: boolean): void
  ask(
    bundle: Parameters<Parameters<typeof openRepairer>[1]['ask']>[0],
    directory: string,
  ): Promise<CallersAnswer>
}

/** What one repair needs of its surroundings. */
export interface RepairPlace {
  runs: Runs
  id: string
  /** Where its record lies. */
  directory: string
  /** The daemon is about to end. */
  ends: AbortSignal
  /** One repair at a time edits a project. @throws ThawError RUN_BUSY */
  claim(project: string): void
}

interface Outcome {
  attempted: Attempted
  failure: Failure | null
}

export class Repair {
  readonly #at: RepairPlace
  readonly #spec: RepairSpec
  readonly #sink: RepairSink
  readonly #scope: Scope
  readonly #mask: Mask
  readonly #shown: Shown
  readonly #input: Input
  readonly #attempt: Attempt
  readonly #began = performance.now()
  readonly #ends = new AbortController()
  readonly #attempts: RepairReport['attempts'] = []
  readonly #tried: TriedEdit[] = []
  #announced = false
  #interrupted = false
  #record: RepairRecord | null = null
  #answerer: Answerer | null = null
  #asked = 0

  constructor(at: RepairPlace, spec: RepairSpec, sink: RepairSink, scope: Scope) {
    this.#at = at
    this.#spec = spec
    this.#sink = sink
    const late = AbortSignal.timeout(spec.bounds.time * 1000)
    this.#scope = { ...scope, signal: AbortSignal.any([scope.signal, this.#ends.signal, late]) }
    this.#mask = new Mask({ ...spec.env, ...spec.run.env })
    this.#shown = new Shown(sink)
    this.#input = new Input(spec.run.stdin === 'null')
    this.#attempt = new Attempt(at.runs, this.#input, at.ends)
  }

  /** @param done what `go` comes to */
  handle(done: Promise<RepairReport>): RunHandle<RepairReport> {
    return {
      stdin: (chunk) => this.#input.take(chunk),
      stdinEnd: () => this.#input.end(),
      signal: async (name: SignalName) => {
        // Whoever ends the program by hand does not want it repaired.
        this.#interrupted = true
        await this.#attempt.signal(name)
        this.#ends.abort()
      },
      resize: (rows, cols) => this.#attempt.resize(rows, cols),
      done,
    }
  }

  async go(): Promise<RepairReport> {
    try {
      let outcome = await this.#run((sink) => this.#start(sink), 0)
      let reason: string | null = null
      for (let round = 1; outcome.failure !== null && reason === null; round++) {
        reason = this.#whyNoMore(round)
        if (reason !== null) break
        try {
          outcome = await this.#round(round, outcome, outcome.failure)
        } catch (error) {
          reason = this.#whyNoMore(round) ?? plain(ThawError.from(error))
          this.#scope.log.info('a repair has ended', { error })
        }
      }
      return await this.#end(outcome, reason)
    } finally {
      if (this.#work !== '') rmSync(this.#work, { recursive: true, force: true })
    }
  }

  /** Asks for edits, tries them, and keeps the one that helps. */
  async #round(round: number, before: Outcome, failure: Failure): Promise<Outcome> {
    const { attempted } = before
    const place = this.#placeOf(attempted.report)
    this.#note(`repair ${round}: ${failure.summary}`)
    await this.#open(place)
    const { stdin, ...subject } = {
      ...place,
      repair: this.#at.id,
      command: this.#spec.run.command,
      failure,
      output: attempted.output,
      stdin: this.#input.tail(),
      record: attempted.record,
      tried: this.#tried,
    }
    const bundle = await bundleOf({ ...subject, stdin }, round, this.#mask, this.#scope)
    this.#note(`${bundle.checkpoints.length} checkpoints to go on from`, true)
    const from = performance.now()
    const { workshop } = this.#at.runs
    const python = workshop.runs.get(attempted.report.run)?.identity.interpreter ?? null
    const isHere = this.#spec.run.root === null
    await using candidates = new Candidates(this.#at.runs, this.#work, {
      answerer: this.#answerer as Answerer,
      python: isHere ? (python ?? (await workshop.anyPython(this.#scope))) : null,
      linesLeft: this.#spec.bounds.lines - changedLines(this.#steps.together()),
      seconds: Math.min(this.#spec.bounds.answer, this.#timeLeft()),
    })
    const found = await candidates.ask(bundle, this.#spec.candidates, this.#scope)
    this.#asked += (performance.now() - from) / 1000
    for (const { number, refused } of found) {
      if (refused !== null)
        this.#tell({ round, candidate: number, diff: '', outcome: 'refused', detail: refused })
    }
    const usable = found.filter(({ edits }) => edits.length > 0)
    if (usable.length === 0) return before
    return this.#try(round, await this.#chosen(round, usable, before, failure), before, failure)
  }

  /** Of several, the one that passes beside the others; where none does, one after which it fails otherwise. */
  async #chosen(
    round: number,
    usable: readonly Candidate[],
    { attempted }: Outcome,
    failure: Failure,
  ): Promise<readonly Candidate[]> {
    const { record, report } = attempted
    if (usable.length === 1 || record === null || this.#spec.mode === 'hot') return usable
    const { bounds, run } = this.#spec
    const trialled = await tryAll(
      this.#at.runs,
      usable,
      {
        leaf: record,
        run: report.run,
        request: run,
        input: this.#input,
        seconds: Math.min(bounds.run ?? Infinity, this.#timeLeft()),
        judge: (one, { place }) => this.#judge(one, place),
      },
      this.#scope,
    )
    if (trialled === null) return usable
    const best =
      trialled.find(({ passed }) => passed) ??
      trialled.find(
        (one) => one.failure !== null && whyNoHelp(failure, one.failure, one.candidate.edits) === null,
      )
    for (const { candidate, failure: came } of trialled) {
      if (candidate === best?.candidate) continue
      const { number, diff } = candidate
      const ended = came === null ? 'another one passed' : `it failed: ${came.summary}`
      this.#tell({
        round,
        candidate: number,
        diff,
        outcome: came === null ? 'not needed' : 'taken back',
        detail: ended,
      })
    }
    return best === undefined ? [] : [best.candidate]
  }

  /** One after the other in the project itself; each is taken back unless it helps. */
  async #try(
    round: number,
    usable: readonly Candidate[],
    before: Outcome,
    failure: Failure,
  ): Promise<Outcome> {
    let last = before
    for (const [i, { number, edits, diff }] of usable.entries()) {
      const step = this.#steps.accept(this.#record?.project ?? '', edits)
      const told = { round, candidate: number, diff }
      let outcome: Outcome
      try {
        outcome = await this.#again(last, failure)
      } catch (error) {
        this.#steps.takeBack(step)
        throw error
      }
      if (outcome.failure === null) {
        this.#tell({ ...told, outcome: 'succeeded', detail: howResumed(outcome.attempted.report) })
        for (const other of usable.slice(i + 1)) {
          const rest = { round, candidate: other.number, diff: other.diff }
          this.#tried.push({ ...rest, outcome: 'not needed', detail: 'another one passed' })
        }
        return outcome
      }
      if (this.#stopped() !== null) {
        this.#steps.takeBack(step)
        return outcome
      }
      const more = i + 1 < usable.length
      const useless = whyNoHelp(failure, outcome.failure, edits)
      if (more || useless !== null) {
        this.#steps.takeBack(step)
        const detail = useless ?? `it failed: ${outcome.failure.summary}`
        this.#tell({ ...told, outcome: 'taken back', detail })
        // What it had come to is of code that is not there any more.
        if (!more) return before
      } else {
        this.#tell({ ...told, outcome: 'accepted', detail: `then it failed: ${outcome.failure.summary}` })
        return outcome
      }
      last = before
    }
    return before
  }

  /** The program goes on under the files as they are now. */
  async #again({ attempted }: Outcome, failure: Failure): Promise<Outcome> {
    const { record } = attempted
    if (this.#spec.mode === 'exact' || record === null) return this.#run((sink) => this.#start(sink), 0)
    let outcome: Outcome | null = null
    for (const checkpoint of resumable(record).slice(0, HOT_TRIES)) {
      const from = checkpoint.offsets
      outcome = await this.#run((sink) => this.#goOn(checkpoint.id, sink), checkpoint.stdin, from)
      if (outcome.failure === null || !isSame(outcome.failure, failure) || this.#stopped() !== null)
        return outcome
    }
    return outcome ?? this.#run((sink) => this.#start(sink), 0)
  }

  /** @param offsets what was printed before the point from which it goes on; null: it prints all again */
  async #run(
    begin: Begin,
    consumed: number,
    offsets: { stdout: number; stderr: number } | null = null,
  ): Promise<Outcome> {
    const sinkFor: Parameters<Attempt['run']>[1] = (started, also) => {
      const announce: RunSink['started'] = (ids) => {
        started(ids)
        if (!this.#announced) this.#sink.started(ids)
        this.#announced = true
      }
      return offsets === null
        ? this.#shown.attempt(announce, also)
        : this.#shown.goingOn(offsets, announce, also)
    }
    const seconds = Math.min(this.#spec.bounds.run ?? Infinity, this.#timeLeft())
    const attempted = await this.#attempt.run(begin, sinkFor, seconds, consumed)
    const { report } = attempted
    const failure = await this.#judge(attempted, null)
    if (failure?.kind === 'signal') await this.#addNative(failure, attempted)
    this.#attempts.push({ report, failure, seconds: attempted.seconds })
    this.#note(`${howResumed(report)}: ${failure === null ? 'it succeeded' : failure.summary}`, true)
    return { attempted, failure }
  }

  /** Where a crash is in native code, once more from the last checkpoint, under a debugger. */
  async #addNative(failure: Failure, { record }: Attempted): Promise<void> {
    if (record === null || this.#stopped() !== null) return
    const { run } = this.#spec
    const stack = await nativeStack(this.#at.runs, record, run, this.#input, this.#scope)
    if (stack !== null) failure.stack = this.#mask.text(`${failure.stack ?? ''}\n\n${stack}`.trim())
  }

  /** @param place where it ran; null: in the project */
  async #judge(attempted: Attempted, place: Workplace | null): Promise<Failure | null> {
    const { report } = attempted
    const matched = this.#matchIn(attempted.errors)
    const check = report.exit?.code === 0 && matched === null ? await this.#check(report, place) : null
    return failureOf({ ...attempted, check, matched }, this.#placeOf(report), this.#mask)
  }

  #start(sink: RunSink): Promise<RunHandle<RunReport>> {
    return this.#at.runs.start({ ...this.#spec.run, diagnose: this.#diagnose }, sink, this.#scope)
  }

  /** Only a person wants to look around in the frames. */
  get #diagnose(): 'tell' | 'freeze' {
    return this.#spec.repairer.kind === 'caller' ? 'freeze' : 'tell'
  }

  #goOn(checkpoint: string, sink: RunSink): Promise<RunHandle<RunReport>> {
    const { terminal, stdin, joined, every, settings } = this.#spec.run
    const spec: ResumeSpec = {
      count: 1,
      mode: 'hot',
      force: false,
      breaks: [],
      break_output: null,
      break_listen: null,
      terminal,
      stdin,
      joined,
      every,
      settings,
      diagnose: this.#diagnose,
    }
    return this.#at.runs.resume(checkpoint, spec, [sink], this.#scope)
  }

  async #check(
    report: RunReport,
    place: Workplace | null,
  ): Promise<{ code: number | null; said: string } | null> {
    const { check, run, env } = this.#spec
    if (check === null) return null
    const seconds = Math.min(CHECK_TIME, this.#timeLeft())
    const spec = { command: check, cwd: run.cwd, env, stdin: '', view: place?.copy ?? null, seconds }
    const end = await runShell(this.#at.runs.workshop, spec, this.#scope)
    const said = `${end.stdout.slice(-4096)}\n${end.said}`.trim()
    this.#note(`the check ended with ${end.code ?? end.signal} (${report.run})`, true)
    return end.ended === null ? { code: end.code, said } : { code: null, said: end.ended }
  }

  #matchIn(errors: string): string | null {
    const { stderr } = this.#spec
    return stderr === null ? null : (new RegExp(stderr, 'm').exec(errors)?.[0] ?? null)
  }

  async #open(place: Place): Promise<void> {
    const { runs, id, directory } = this.#at
    if (this.#record !== null) return
    const { env } = this.#spec
    const { command } = this.#spec.run
    this.#answerer = openRepairer(this.#spec.repairer, {
      shop: runs.workshop,
      env,
      bounds: this.#spec.bounds,
      ask: (bundle, copy) => this.#sink.ask(bundle, copy),
    })
    this.#at.claim(place.project)
    this.#work = makeTemporary(runs.workshop.paths)
    this.#record = await RepairRecord.create(directory, { id, command, project: place.project })
    mkdirSync(join(this.#work, 'bundles'), { mode: 0o700 })
  }

  /** For copies and bundles. */
  #work = ''

  get #steps(): RepairRecord['steps'] {
    if (this.#record === null) throw new ThawError('INTERNAL', 'A repair has no record yet.')
    return this.#record.steps
  }

  #placeOf(report: RunReport): Place {
    const { cwd, root } = this.#spec.run
    return {
      cwd,
      isHere: root === null,
      project: this.#at.runs.workshop.runs.get(report.run)?.identity.project ?? cwd,
    }
  }

  #whyNoMore(round: number): string | null {
    const stopped = this.#stopped()
    if (stopped !== null) return stopped
    if (this.#input.overflown) return 'it took more on stdin than can be sent again'
    if (round > this.#spec.bounds.rounds) return `not after ${this.#spec.bounds.rounds} rounds`
    return null
  }

  #stopped(): string | null {
    if (this.#interrupted) return 'it was interrupted'
    if (this.#timeLeft() <= 0) return `not within ${this.#spec.bounds.time} s`
    return this.#scope.signal.aborted ? 'nobody waits for it any more' : null
  }

  #timeLeft(): number {
    return Math.max(0, this.#spec.bounds.time - (performance.now() - this.#began) / 1000)
  }

  async #end({ attempted, failure }: Outcome, reason: string | null): Promise<RepairReport> {
    const { report } = attempted
    const repaired = failure === null && this.#attempts.length > 1
    if (failure !== null && this.#record !== null && !this.#spec.keep) this.#takeAllBack()
    const patch = (await this.#record?.keepPatch()) ?? null
    const verify = failure === null && this.#spec.verify ? await this.#verify(report) : null
    const usage = this.#answerer?.usage ?? noUsage()
    const total = (performance.now() - this.#began) / 1000
    const ended: RepairReport = {
      id: this.#at.id,
      command: this.#spec.run.command,
      project: this.#placeOf(report).project,
      run: report.run,
      outcome: failure !== null ? 'failed' : repaired ? 'repaired' : 'succeeded',
      reason: reason ?? (verify instanceof ThawError ? `not verified: ${plain(verify)}` : null),
      exit: report.exit,
      exit_code: codeOf(failure, report, verify),
      attempts: this.#attempts,
      tried: this.#tried,
      files: this.#record?.summary.files ?? [],
      patch,
      verify: verify instanceof ThawError ? null : verify,
      tokens: { read: usage.read, written: usage.written },
      dollars: usage.dollars,
      seconds: {
        total,
        program: this.#attempts.reduce((sum, { seconds }) => sum + seconds, 0),
        repairer: this.#asked,
      },
    }
    await this.#record?.finish(ended)
    return ended
  }

  async #verify({ run }: RunReport): Promise<VerifyReport | ThawError> {
    try {
      return await this.#at.runs.verify(run, false, this.#scope)
    } catch (error) {
      return ThawError.from(error)
    }
  }

  #takeAllBack(): void {
    for (const number of this.#steps.numbers().reverse()) {
      const left = this.#steps.takeBack(number)
      if (left.length > 0) this.#note(`${left.join(', ')} stays as it is: somebody else has changed it`)
    }
  }

  #tell(tried: TriedEdit): void {
    this.#tried.push(tried)
    const which = this.#spec.candidates > 1 ? ` (${tried.candidate})` : ''
    this.#note(
      `repair ${tried.round}${which} ${tried.outcome}: ${tried.detail}`,
      tried.outcome === 'succeeded',
    )
  }

  #note(text: string, detail = false): void {
    this.#sink.note(text, detail)
  }
}

function codeOf(failure: Failure | null, report: RunReport, verify: VerifyReport | ThawError | null): number {
  if (failure === null) {
    const differs = verify !== null && !(verify instanceof ThawError) && verify.verdict === 'different'
    return verify instanceof ThawError || differs ? 1 : 0
  }
  if (failure.kind === 'hang') return TIMED_OUT
  return report.exit === null ? 1 : exitCode(report.exit) || 1
}

function howResumed({ outcome, checkpoint }: RunReport): string {
  if (outcome !== 'resumed' || checkpoint === null) return outcome === 'replayed' ? 'replayed' : 'ran cold'
  const { before, file, line } = checkpoint
  return `resumed before ${before ?? 'a moment'}${file === null ? '' : ` (${file}:${line})`}`
}

function plain(error: ThawError): string {
  return error instanceof Refused ? error.message : `${error.message.replace(/\.$/, '')}. ${error.hint}`
}
