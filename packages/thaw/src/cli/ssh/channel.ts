/** A session of SSH as a program in a service or an instance. */
import type { ExecRequestInput } from '@thaw/protocol'
import type { FrameStream, StreamHandlers } from '@thaw/sdk/run-stream'
import type { ServerChannel } from 'ssh2'

/** Bytes that are taken before the program has read them. */
const AHEAD = 256 * 1024

export type Connect = (first: ExecRequestInput, handlers: StreamHandlers) => Promise<FrameStream>

/**
 * Runs a program with the channel's input and output, until it or the channel ends.
 *
 * @throws ThawError what cannot be started
 */
export async function serveChannel(
  channel: ServerChannel,
  request: ExecRequestInput,
  connect: Connect,
): Promise<FrameStream> {
  const typed: Buffer[] = []
  let size = 0
  let credit = 0
  let ended = false
  let opened: FrameStream | null = null
  const send = () => {
    const stream = opened
    if (stream === null) return
    while (credit > 0) {
      const next = typed.shift()
      if (next === undefined) break
      const piece = next.subarray(0, credit)
      if (piece.length < next.length) typed.unshift(next.subarray(piece.length))
      credit -= piece.length
      size -= piece.length
      stream.stdin(piece)
    }
    if (size < AHEAD) channel.resume()
    if (ended && typed.length === 0) {
      ended = false
      stream.stdinEnd()
    }
  }
  channel.on('data', (bytes: Buffer) => {
    if (bytes.length > 0) typed.push(bytes)
    size += bytes.length
    if (size >= AHEAD) channel.pause()
    send()
  })
  channel.on('end', () => {
    ended = true
    send()
  })
  const print = (to: NodeJS.WritableStream) => (bytes: Uint8Array) => {
    if (channel.destroyed || to.write(bytes)) return undefined
    return new Promise<void>((resolve) => {
      to.once('drain', resolve)
      channel.once('close', resolve)
    })
  }
  const stream = await connect(request, {
    onStdout: print(channel),
    onStderr: print(channel.stderr),
    onStdinWanted: (bytes) => {
      credit += bytes
      send()
    },
  })
  opened = stream
  send()
  channel.once('close', () => stream.destroy())
  return stream
}
