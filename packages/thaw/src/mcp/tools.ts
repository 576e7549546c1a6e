/** What agents may ask for, and the answers: short, with ids to go on with and the next step where there is one. */
import { ThawError } from '@thaw/protocol/errors'
import type { Operation, RunReport } from '@thaw/protocol'
import type { NodeClient, OperationHandle } from '@thaw/sdk/node'
import { resolve } from 'node:path'
import { checkpointTitle, place } from '../cli/render/tree.js'
import { seconds } from '../cli/render/units.js'
import { excerptOf, matchingLines } from './excerpt.js'
import { InstanceTools } from './instance-tools.js'
import { exitText, LISTED, listing } from './text.js'
import { commandOf } from './words.js'

/** Calls the daemon, starting one when there is none. */
export type Ask = <T>(work: (client: NodeClient) => Promise<T>) => Promise<T>

/** Bytes of output in one answer, unless asked otherwise. */
export const OUTPUT = 6000
/** Bytes that are read to look for lines in them. */
const SEARCHED = 16 * 1024 * 1024

interface Wait {
  wait_seconds: number
  max_output: number
}

export interface RunArguments extends Wait {
  command: string
  cwd?: string | undefined
  env?: Record<string, string> | undefined
  stdin?: string | undefined
  fresh: boolean
  stop_at: string[]
  stop_on_output?: string | undefined
  stop_on_listen?: number | undefined
  effects?: 'redo' | 'keep' | undefined
}

export interface ResumeArguments extends Wait {
  checkpoint: string
  count: number
  mode: 'exact' | 'hot'
  stop_at: string[]
}

export class Tools {
  readonly instances: InstanceTools
  readonly #ask: Ask

  constructor(ask: Ask) {
    this.#ask = ask
    this.instances = new InstanceTools(ask)
  }

  async run(given: RunArguments, signal: AbortSignal): Promise<string> {
    const command = commandOf(given.command)
    if (command.length === 0) throw new ThawError('INVALID_REQUEST', 'The command is empty.')
    const env = { ...process.env, ...given.env } as Record<string, string>
    const request = {
      command,
      cwd: resolve(given.cwd ?? '.'),
      env,
      stdin: given.stdin ?? null,
      fresh: given.fresh,
      break: given.stop_at,
      break_output: given.stop_on_output ?? null,
      break_listen: given.stop_on_listen ?? null,
      effects: given.effects ?? null,
    }
    const operation = await this.#ask((client) => client.runs.start(request, atOnce(given)))
    return this.#follow(operation, given, signal)
  }

  async resume(given: ResumeArguments, signal: AbortSignal): Promise<string> {
    const { checkpoint, count, mode, stop_at } = given
    const operation = await this.#ask((client) =>
      client.checkpoints.start(checkpoint, { count, mode, break: stop_at }, atOnce(given)),
    )
    return this.#follow(operation, given, signal)
  }

  async wait(given: Wait & { operation: string }, signal: AbortSignal): Promise<string> {
    const operation = await this.#ask((client) => client.operations.get(given.operation))
    return this.#outcome(await operation.wait({ seconds: given.wait_seconds, signal }), given.max_output)
  }

  async list(what: 'runs' | Parameters<InstanceTools['list']>[0]): Promise<string> {
    if (what !== 'runs') return this.instances.list(what)
    const runs = await this.#ask((client) => client.runs.list())
    if (runs.length === 0) return 'No command has been run yet. Next: run.'
    const lines = runs.slice(0, LISTED).map(({ id, command, cwd, state, outcome, exit, checkpoints }) => {
      const what =
        state === 'live' ? 'live' : `${outcome ?? state}${exit === null ? '' : `, ${exitText(exit)}`}`
      return `${id}  ${what}, ${checkpoints} checkpoints  ${command.join(' ').slice(0, 80)}  (${cwd})`
    })
    return listing(lines, 'the latest first', runs.length)
  }

  async checkpoints(given: { run: string; all: boolean }): Promise<string> {
    const tree = await this.#ask((client) => client.runs.tree(given.run))
    const { run, checkpoints, branches } = tree
    const shown = checkpoints.filter(({ state }) => given.all || state === 'parked')
    const lines = shown.slice(-LISTED).map((node) => {
      const { id, at_seconds, state } = node
      return `${id}  ${seconds(at_seconds)}  ${checkpointTitle(node)}${state === 'parked' ? '' : `  ${state}`}`
    })
    const gone = checkpoints.length - checkpoints.filter(({ state }) => state === 'parked').length
    const head = `${run.id}  ${run.command.join(' ')}: ${branches.length} branches, ${checkpoints.length - gone} checkpoints to resume from, ${gone} gone`
    if (lines.length > 0) return `${head}\n${listing(lines, 'the last ones', shown.length)}`
    const [refusal] = tree.refusals
    return `${head}\n${refusal === undefined ? 'None was due: the program does too little, or is no Python.' : `None was possible: ${refusal.why}.`} Next: run with stop_at to stop at a place.`
  }

  async logs(given: {
    id: string
    stream: 'stdout' | 'stderr' | 'both'
    match?: string | undefined
    max_output: number
  }): Promise<string> {
    const { id, stream, match, max_output } = given
    const instance = await this.instances.find(id)
    return this.#ask(async (client) => {
      const printed = () =>
        instance === null ? client.runs.logs(id, stream) : client.instances.logs(instance, { stream })
      if (match !== undefined) {
        const pattern = patternOf(match)
        const { text, complete } = await excerptOf(printed(), SEARCHED, 'not searched')
        const lines = matchingLines(text, pattern)
        const found = `${lines.length} ${lines.length === 1 ? 'line matches' : 'lines match'}${complete ? '' : ' in what was searched'}`
        return `${found}\n${await clip(lines.join('\n'), max_output, 'narrow the pattern')}`
      }
      const rest = `use match, or a larger max_output`
      const { text, bytes } = await excerptOf(printed(), max_output, rest)
      return bytes === 0 ? `Nothing was printed on ${stream}.` : text
    })
  }

  async compare(given: { a: string; b: string; max_output: number }): Promise<string> {
    const { a, b, max_output } = given
    const found = await this.#ask((client) => client.branches.compare(a, b))
    const head = `${found.a.branch} ${exitText(found.a.exit)}, ${found.b.branch} ${exitText(found.b.exit)}`
    if (found.same) return `${head}: same output, same exit`
    const parts = (['stdout', 'stderr'] as const).map((name) => {
      const { same, diff, complete } = found[name]
      if (same) return `${name}: the same`
      return complete ? diff.trimEnd() : `${diff.trimEnd()}\n(compared in part)`
    })
    return `${head}: different\n${await clip(parts.join('\n'), max_output, 'use logs with match')}`
  }

  async explain({ id }: { id: string }): Promise<string> {
    const instance = await this.instances.find(id)
    if (instance !== null) return this.instances.explain(instance)
    const [run, tree] = await this.#ask((client) => Promise.all([client.runs.get(id), client.runs.tree(id)]))
    const { report } = run
    if (report === null)
      return `${run.id} ${run.command.join(' ')}: ${run.state}, nothing is known of an end.`
    const parked = tree.checkpoints.filter(({ state }) => state === 'parked')
    const lines = [
      `${run.id}  ${run.command.join(' ')}: ${outcomeText(report)}`,
      report.reason === null ? null : `why: ${report.reason}`,
      changesText(report),
      report.kept_effects.length === 0 ? null : `effects kept: ${report.kept_effects.join(', ')}`,
      ...tree.refusals
        .slice(-3)
        .map(({ at_seconds, why }) => `no checkpoint from ${seconds(at_seconds)}: ${why}`),
      parked.length === 0
        ? 'checkpoints: none, so the next run is cold or a replay'
        : `checkpoints: ${parked.length}, the last at ${seconds(parked.at(-1)?.at_seconds ?? 0)}`,
      adviceFor(report, parked.length),
    ]
    return lines.filter((line) => line !== null).join('\n')
  }

  async stop(given: { id: string }): Promise<string> {
    const { id } = given
    if (id.startsWith('o_')) {
      const { state } = await this.#ask(async (client) => (await client.operations.get(id)).cancel())
      return `${id}: ${state}`
    }
    const destroyed = await this.instances.destroy(id)
    if (destroyed !== null) return destroyed
    const stopped = await this.#ask((client) => client.runs.stop(id))
    return stopped.length === 0 ? `Nothing of ${id} was live.` : `Stopped ${stopped.join(', ')}.`
  }

  async #follow(operation: OperationHandle, given: Wait, signal: AbortSignal): Promise<string> {
    try {
      return await this.#outcome(
        await operation.wait({ seconds: given.wait_seconds, signal }),
        given.max_output,
      )
    } catch (error) {
      // Whoever asked for it does not want it any more.
      if (signal.aborted) await operation.cancel().catch(() => {})
      throw error
    }
  }

  async #outcome(operation: Operation, most: number): Promise<string> {
    const { id, state, run, branches, report, summary } = operation
    if (report === null) {
      const output = await this.#output(branches[0] ?? '', Math.min(most, 2000))
      return `${state}: operation ${id}, run ${run}, branch ${branches.join(' ')}\n${output}\nNext: wait (operation ${id}), logs (${branches[0]}) or stop (${id}).`
    }
    if (report.branches !== undefined && branches.length > 1) return this.#several(operation, report, most)
    const head = `${summary}\n${exitText(report.exit)}, run ${run}, branch ${branches.join(' ')}`
    const output = await this.#output(branches[0] ?? '', most)
    const stop = report.outcome === 'stopped' ? report.checkpoint?.id : undefined
    const next =
      stop === undefined ? '' : `\nNext: edit, then resume (checkpoint ${stop}), as often as wanted.`
    return `${head}\n${output}${next}`
  }

  /** The first branch in full, of the others what differs from it. */
  async #several(operation: Operation, report: RunReport, most: number): Promise<string> {
    const [first, ...others] = report.branches ?? []
    if (first === undefined) return operation.summary ?? ''
    const share = Math.max(500, Math.floor(most / Math.min(others.length + 1, 8)))
    const parts = [`${first.id}: ${endText(first)}\n${await this.#output(first.id, share)}`]
    for (const one of others) {
      const { stdout, stderr } = await this.#ask((client) => client.branches.compare(first.id, one.id))
      const differs = [stdout, stderr].flatMap(({ same, diff }) => (same ? [] : [diff.trimEnd()]))
      const how =
        differs.length === 0
          ? `output as ${first.id}`
          : `\n${await clip(differs.join('\n'), share, `compare ${first.id} ${one.id}`)}`
      parts.push(`${one.id}: ${endText(one)}, ${how}`)
    }
    return clip(`${operation.summary}\n${parts.join('\n')}`, most * 2, 'logs and compare tell the rest')
  }

  async #output(branch: string, most: number): Promise<string> {
    return this.#ask(async (client) => {
      const read = (stream: 'stdout' | 'stderr', size: number) =>
        excerptOf(client.branches.logs(branch, stream), size, `logs ${branch}`)
      const half = Math.floor(most / 2)
      // Both at once: an agent waits for each round trip.
      const [whole, error] = await Promise.all([read('stdout', most), read('stderr', half)])
      const left = most - Math.min(error.bytes, half)
      const out = whole.bytes <= left ? whole : await read('stdout', left)
      const parts = [
        ...(out.bytes === 0 ? [] : [`--- stdout\n${out.text.trimEnd()}`]),
        ...(error.bytes === 0 ? [] : [`--- stderr\n${error.text.trimEnd()}`]),
      ]
      return parts.length === 0 ? '(no output)' : parts.join('\n')
    })
  }
}

/** What ends within the first second is answered by the request that begins it. */
const atOnce = ({ wait_seconds }: Wait) => ({ wait: Math.min(1, Math.floor(wait_seconds)) })

function endText({ exit, stop }: NonNullable<RunReport['branches']>[number]): string {
  return stop === null ? exitText(exit) : `stopped at ${stop}`
}

function outcomeText({ outcome, checkpoint, seconds: took, exit }: RunReport): string {
  const time = seconds(took.total)
  const where =
    checkpoint === null
      ? ''
      : ` ${outcome === 'stopped' ? 'at' : 'from'} ${checkpoint.id}${checkpoint.before === null ? '' : `, before ${place({ ...checkpoint, unit: checkpoint.before })}`}`
  const cold = took.cold_estimate === null ? '' : `, cold about ${seconds(took.cold_estimate)}`
  return `${outcome}${where}, ${exitText(exit)}, ${time}${cold}`
}

function changesText({ changed }: RunReport): string | null {
  if (changed.length === 0) return null
  const shown = changed
    .slice(0, 8)
    .map(({ file, unit, kind }) => `${file}${unit === null ? '' : ` ${unit}`} (${kind})`)
  const more = changed.length > 8 ? `, and ${changed.length - 8} more` : ''
  return `changed: ${shown.join(', ')}${more}`
}

function adviceFor({ outcome, reason, exit }: RunReport, parked: number): string | null {
  if (outcome === 'stopped') return 'Next: resume from the stop.'
  if (outcome === 'cold' && reason?.startsWith('first run') === true && parked > 0) {
    return 'Next: edit and run the same command; it goes on from a checkpoint.'
  }
  if (outcome === 'cold' && /effect|network|child|outside/i.test(reason ?? '')) {
    return 'Next: where those effects may stand, run with effects keep.'
  }
  if (outcome === 'resumed' && exit !== null && exit.code !== 0) {
    return 'Next: edit and run again, or stop_at the failing function and resume it.'
  }
  return null
}

async function clip(text: string, most: number, rest: string): Promise<string> {
  async function* whole() {
    yield Buffer.from(text)
  }
  return (await excerptOf(whole(), most, rest)).text
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text)
  } catch (error) {
    throw new ThawError('INVALID_REQUEST', `match: ${(error as Error).message}.`, {
      cause: error,
      hint: 'Give a JavaScript regular expression, or escape what is meant literally.',
    })
  }
}
