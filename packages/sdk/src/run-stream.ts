import { ThawError } from '@thaw/protocol/errors'
import { connect, type Socket } from 'node:net'
import { FrameStream, type StreamHandlers } from './frame-stream.js'

export { FrameStream, type StreamEnd, type StreamHandlers } from './frame-stream.js'

/**
 * A stream over the daemon's unix socket.
 *
 * Loaded by the command line before anything else: only node:net, and no schema library.
 */
export class RunStream extends FrameStream {
  /**
   * Connects, upgrades and sends the first message.
   *
   * @param path `/v1/runs/stream` with a RunRequest, `/v1/checkpoints/ID/stream` with a ResumeRequest, or
   *   `/v1/branches/ID/stream` with `{}`
   * @param build when given, a daemon of another build refuses with VERSION_MISMATCH
   * @throws ThawError DAEMON_UNREACHABLE, or what the daemon answers
   */
  static async open(
    socketPath: string,
    path: string,
    first: unknown,
    handlers: StreamHandlers,
    build?: string,
  ): Promise<RunStream> {
    return new RunStream(await connectStream(socketPath, path, build), first, handlers)
  }
}

/** The upgraded connection alone. @throws ThawError as RunStream.open */
export async function connectStream(socketPath: string, path: string, build?: string): Promise<Socket> {
  const socket = connect(socketPath)
  try {
    const head = `POST ${path} HTTP/1.1\r\nHost: thaw\r\nConnection: Upgrade\r\nUpgrade: thaw-stream\r\n`
    socket.write(`${head}${build === undefined ? '' : `thaw-build: ${build}\r\n`}\r\n`)
    const rest = await readAnswer(socket)
    if (rest.length > 0) socket.unshift(rest)
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** Reads the answer to the upgrade. Returns what came after it. */
function readAnswer(socket: Socket): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let text = Buffer.alloc(0)
    const stop = () => {
      socket.off('data', onData)
      socket.off('error', onError)
      socket.off('close', onClose)
    }
    const onError = (error: NodeJS.ErrnoException) => {
      stop()
      const why = `No daemon answers (${error.code ?? error.message}).`
      reject(new ThawError('DAEMON_UNREACHABLE', why, { cause: error, details: { errno: error.code } }))
    }
    const onClose = () => {
      stop()
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) {
        reject(
          new ThawError('DAEMON_UNREACHABLE', 'The daemon hung up before it answered.', {
            details: { errno: 'EOF' },
          }),
        )
        return
      }
      let body: unknown
      try {
        body = JSON.parse(text.subarray(end + 4).toString('utf8'))
      } catch {
        body = text.toString('utf8')
      }
      reject(ThawError.fromBody(body))
    }
    const onData = (chunk: Buffer) => {
      text = Buffer.concat([text, chunk])
      const end = text.indexOf('\r\n\r\n')
      if (end < 0 || !text.subarray(0, 13).toString('latin1').startsWith('HTTP/1.1 101 ')) return
      socket.pause()
      stop()
      resolve(text.subarray(end + 4))
    }
    socket.on('data', onData)
    socket.on('error', onError)
    socket.on('close', onClose)
  })
}
