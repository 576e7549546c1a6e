/** What cannot be taken is cut off, and the log says so. */
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { silentLog, type Log } from '../system/index.js'
import { LARGEST, LineServer, type Line } from './line.js'
import { Asked } from './party.js'

const frame = (text: string) => {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(Buffer.byteLength(text), 0)
  return Buffer.concat([head, Buffer.from(text)])
}

let directory: string
let server: LineServer
let logged: unknown[][]
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'thaw-line-'))
  logged = []
  const log: Log = { ...silentLog, error: (...given) => void logged.push(given) }
  server = await LineServer.listen(join(directory, 'socket'), log)
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true })
})

async function introduced(): Promise<{ socket: Socket; line: Line }> {
  const heard = new Promise<Line>((resolve) => server.hear((_, line) => resolve(line)))
  const socket = connect(join(directory, 'socket'))
  socket.write(frame('{"t":"hello","role":"keeper","pid":7}'))
  return { socket, line: await heard }
}

it.each([
  ['what is no JSON', frame('{')],
  ['what is not in the protocol', frame('{"t":"something else"}')],
  ['a frame that is too large', Buffer.from(LARGEST.toString(16).padStart(8, '0').concat('00000001'), 'hex')],
])('%s', async (_, bytes) => {
  const { socket, line } = await introduced()
  const party = new Asked()
  party.attach(line)
  const closed = once(socket, 'close')
  socket.write(bytes)
  await closed
  expect(party.gone).toBe(true)
  expect(logged).toMatchObject([[expect.stringContaining('cut off') as string, { code: 'INTERNAL' }]])
})
