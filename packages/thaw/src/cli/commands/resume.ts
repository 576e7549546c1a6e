import type { ResumeRequestInput } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { numberLines } from '../numbered.js'
import { converse } from '../session.js'

export interface ResumeOptions {
  count?: string
  hot?: boolean
  exact?: boolean
  break?: string[]
  every?: string
  report?: string
  terminal?: boolean
  quiet?: boolean
}

/** Goes on from a checkpoint, once or several times at once. */
export async function resume(id: string, options: ResumeOptions): Promise<number> {
  const count = Number(options.count ?? '1')
  if (!Number.isInteger(count) || count < 1 || count > 256) {
    throw new ThawError('USAGE', `-n wants a number from 1 to 256; not ${options.count}.`)
  }
  if (options.hot === true && options.exact === true) {
    throw new ThawError('USAGE', '--hot and --exact exclude each other.')
  }
  const { terminal = false, quiet = false } = options
  return converse({
    path: `/v1/checkpoints/${encodeURIComponent(id)}/stream`,
    terminal,
    quiet,
    report: options.report ?? null,
    numbered: (outputs) => numberLines(outputs, count),
    request: (io): ResumeRequestInput => ({
      count,
      mode: options.hot === true ? 'hot' : 'exact',
      quiet: quiet ? true : null,
      break: options.break ?? [],
      every: options.every ?? null,
      ...io,
    }),
  })
}
