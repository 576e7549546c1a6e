import { ThawError } from '@thaw/protocol/errors'
import type { DebugRequestInput } from '@thaw/protocol'
import { ask } from '../client.js'
import { connectTo } from '../inside.js'
import { print } from '../print.js'
import { renderStops } from '../render/services.js'

interface DebugOptions {
  call?: string
  list?: boolean
  dap?: boolean
  again?: boolean
  json?: boolean
}

/** A prompt at a call that waits, what an editor needs, or the call once more from there. */
export async function debug(service: string, options: DebugOptions): Promise<number> {
  const { call, list = false, dap = false, again = false, json } = options
  if (list || json === true) {
    await print(await ask((client) => client.services.stops(service)), json, renderStops)
    return 0
  }
  if (dap && again) throw new ThawError('USAGE', '--dap and --again exclude each other.')
  const how = again ? 'again' : dap ? 'dap' : 'pdb'
  const number = call === undefined ? null : Number(call)
  if (number !== null && !(Number.isInteger(number) && number > 0)) {
    throw new ThawError('USAGE', `--call wants the number of a call; not ${call}.`)
  }
  if (dap) process.stderr.write('thaw: an editor may attach to the port that follows (Ctrl-C lets go):\n')
  const path = `/v1/services/${encodeURIComponent(service)}/debug/stream`
  const stdin = how === 'pdb' ? null : 'null'
  const first = (io: { stdin: 'null' | 'stream' }): DebugRequestInput => ({
    call: number,
    how,
    stdin: how === 'pdb' ? io.stdin : 'stream',
  })
  return await connectTo(path, first, { terminal: false, stdin })
}
