import type { RepairRequestInput } from '@thaw/protocol'
import { imageOf, parseRunArguments } from '../run-arguments.js'
import { makeRequest } from '../run.js'
import type { Io } from '../session.js'
import type { RepairOptions } from './arguments.js'

/** @param env the program's: keys of models are looked for in it too */
export function makeRepairRequest(
  command: readonly string[],
  options: RepairOptions,
  io: Io,
  env: Record<string, string>,
): RepairRequestInput {
  const given = {
    ...parseRunArguments(['--', ...command]),
    every: options.every,
    engine: options.engine,
    image: options.docker === null ? null : imageOf(options.docker),
    effects: options.effects,
    quiet: options.quiet,
  }
  const bounds = {
    rounds: options.rounds,
    time: options.maxTime ?? undefined,
    answer: options.answerTime ?? undefined,
    run: options.timeLimit,
    lines: options.maxLines ?? undefined,
    tokens: options.maxTokens ?? undefined,
    dollars: options.maxCost,
  }
  return {
    run: { ...makeRequest(given, io), env },
    repairer: chosen(options, env),
    mode: options.hot ? 'hot' : 'exact',
    candidates: options.candidates,
    check: options.check,
    stderr: options.onStderr,
    at: options.at,
    max_saves: options.maxSaves === -1 ? null : options.maxSaves,
    verify: options.verify,
    keep: options.keep,
    bounds,
  }
}

/** Where nobody is named: the model whose key is there. */
function chosen(options: RepairOptions, env: Record<string, string>): RepairRequestInput['repairer'] {
  const { model, url } = options
  const endpoint = { model, url, prices: options.prices }
  if (options.with !== null) return { kind: 'command', command: options.with }
  if (options.interactive) return { kind: 'caller' }
  if (options.openai) return { kind: 'openai', ...endpoint }
  if (options.anthropic) return { kind: 'anthropic', ...endpoint }
  if (env['OPENAI_API_KEY']) return { kind: 'openai', ...endpoint }
  if (env['ANTHROPIC_API_KEY']) return { kind: 'anthropic', ...endpoint }
  return { kind: 'none' }
}
