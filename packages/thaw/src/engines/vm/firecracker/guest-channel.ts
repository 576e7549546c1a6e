/** A stream to a program in the guest, over vsock: Firecracker offers it as a unix socket with one line of greeting. */
import { connect, type Socket } from 'node:net'
import { ThawError, within, type Scope } from '../../../system/index.js'

/** Of the greeting, `OK` and a port of 32 bits. */
const LONGEST_GREETING = 16
/** Milliseconds between two tries. */
const BETWEEN = 50

/**
 * Connects to a port of the guest.
 * - Prerequisites: the machine runs; its vsock device has this socket.
 * - On success: a paused stream, to which nothing of the greeting is left.
 * - On failure: ENGINE_FAILED when nobody in the guest listens, or Firecracker does not; TIMEOUT, CANCELLED.
 *
 * @param socket path of fewer than 108 bytes
 */
export async function connectGuest(socket: string, port: number, scope: Scope): Promise<Socket> {
  const stream = connect(socket)
  try {
    await within(scope, `connecting to port ${port} of the guest`, greeted(stream, port))
    return stream
  } catch (error) {
    stream.destroy()
    throw error
  }
}

/** The same, again and again until somebody listens. @param scope with a deadline, or it may wait for ever */
export async function awaitGuest(socket: string, port: number, scope: Scope): Promise<Socket> {
  for (;;) {
    try {
      return await connectGuest(socket, port, scope)
    } catch (error) {
      if (ThawError.from(error).code !== 'ENGINE_FAILED') throw error
      const pause = new Promise<void>((resolve) => setTimeout(resolve, BETWEEN))
      await within(scope, `waiting for port ${port} of the guest`, pause)
    }
  }
}

function greeted(stream: Socket, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = Buffer.alloc(0)
    const fail = (why: string, cause?: Error) =>
      reject(
        new ThawError('ENGINE_FAILED', `Port ${port} of the guest cannot be reached: ${why}.`, { cause }),
      )
    const closed = () => fail('nobody listens on it')
    const listen = (part: Buffer) => {
      said = Buffer.concat([said, part])
      const end = said.indexOf('\n')
      if (end < 0 && said.length < LONGEST_GREETING) return
      stream.pause()
      stream.off('data', listen)
      stream.off('close', closed)
      if (!/^OK \d{1,10}$/.test(said.toString('latin1', 0, Math.max(end, 0)))) {
        return fail('what answers is no vsock device')
      }
      // The guest may have spoken already.
      if (end + 1 < said.length) stream.unshift(said.subarray(end + 1))
      resolve()
    }
    // It stays: until the caller has listeners of its own, an error must not be without one.
    stream.on('error', (error) => fail(error.message, error))
    stream.once('connect', () => stream.write(`CONNECT ${port}\n`))
    stream.once('close', closed)
    stream.on('data', listen)
  })
}
