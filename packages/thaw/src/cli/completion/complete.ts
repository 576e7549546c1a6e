import { socketTransport } from '@thaw/sdk/socket-transport'
import { findPaths } from '../../system/paths.js'
import { describeProgram } from '../program.js'
import { repairHelp } from '../repair/arguments.js'
import { CHOICES } from '../run-arguments.js'
import { RUN_HELP } from '../run-help.js'
import { answerFor, type Candidate, type IdKind } from './grammar.js'

/** Milliseconds after which a shell rather shows nothing. */
const PATIENCE = 500

/** `thaw __complete INDEX WORDS...`, for the scripts. Never starts a daemon, never fails. */
export async function complete([index, ...rest]: readonly string[]): Promise<number> {
  const words = ['thaw', ...rest]
  const at = Number(index)
  if (!Number.isInteger(at) || at < 1) return 0
  const { thaw } = describeProgram()
  const answer = answerFor(thaw, RUN_HELP, repairHelp(), CHOICES, words, at)
  let lines: string[]
  if (answer.kind === 'files') lines = ['files']
  else if (answer.kind === 'command') lines = [`command ${answer.at}`]
  else {
    const ids = answer.kind === 'ids' ? await idsOf(answer.kinds, words[at] ?? '') : []
    const text = ({ word, about }: Candidate) => `${word}\t${about.replace(/\s+/g, ' ')}`
    lines = ['words', ...[...answer.words, ...ids].map(text)]
  }
  await new Promise<void>((resolve) => process.stdout.write(`${lines.join('\n')}\n`, () => resolve()))
  return 0
}

async function idsOf(kinds: readonly IdKind[], prefix: string): Promise<Candidate[]> {
  const late = new Promise<never>((_, reject) => setTimeout(reject, PATIENCE).unref())
  try {
    const query = new URLSearchParams({ prefix, kinds: kinds.join(',') })
    const answer = socketTransport(findPaths().socket).request('GET', `/v1/ids?${query.toString()}`)
    const { status, body } = await Promise.race([answer, late])
    if (status !== 200) return []
    const { ids } = body as { ids: { id: string; about: string }[] }
    return ids.map(({ id, about }) => ({ word: id, about }))
  } catch {
    return []
  }
}
