import type { ResumeRequestInput } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { RunStream } from '@thaw/sdk/run-stream'
import { findPaths } from '../../system/paths.js'
import { BUILD } from '../../version.js'
import { withDaemon } from '../connect.js'
import { numberLines } from '../numbered.js'
import { parsePort } from '../run-arguments.js'
import { converse, type Io } from '../session.js'

export interface ResumeOptions {
  count?: string
  hot?: boolean
  exact?: boolean
  break?: string[]
  breakOutput?: string
  breakListen?: string
  force?: boolean
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
  const { terminal = false, quiet = false, report = null } = options
  const paths = findPaths()
  const path = `/v1/checkpoints/${encodeURIComponent(id)}/stream`
  const request = (io: Io): ResumeRequestInput => ({
    count,
    mode: options.hot === true ? 'hot' : 'exact',
    quiet: quiet ? true : null,
    break: options.break ?? [],
    break_output: options.breakOutput ?? null,
    break_listen: options.breakListen === undefined ? null : parsePort(options.breakListen),
    force: options.force === true,
    every: options.every ?? null,
    ...io,
  })
  const numbered = (outputs: Parameters<typeof numberLines>[0]) => numberLines(outputs, count)
  return converse({ terminal, quiet, report, numbered }, (io, handlers) =>
    withDaemon(paths, () => RunStream.open(paths.socket, path, request(io), handlers, BUILD)),
  )
}
