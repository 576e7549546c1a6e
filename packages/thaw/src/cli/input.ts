import { constants, fstatSync, openSync, readSync } from 'node:fs'
import { Socket } from 'node:net'
import { ReadStream } from 'node:tty'
import { inForeground } from '../system/process-identity.js'

/** Major 1, minor 3. */
const NULL_DEVICE = (1 << 8) | 3

/** This process's stdin, read in the portions that are asked for, so that what is not wanted stays where it is. */
export interface Input {
  readonly kind: 'null' | 'stream'
  /** So many more bytes may be read. */
  want(bytes: number): void
  close(): void
}

export const NO_INPUT: Input = { kind: 'null', want: () => {}, close: () => {} }

/**
 * @param raw hand every key to the program (a terminal only)
 */
export function openInput(onChunk: (chunk: Uint8Array) => void, onEnd: () => void, raw: boolean): Input {
  let stat
  try {
    stat = fstatSync(0)
  } catch {
    return NO_INPUT
  }
  if (stat.isCharacterDevice() && stat.rdev === NULL_DEVICE) return NO_INPUT
  if (stat.isFile()) return fileInput(onChunk, onEnd)
  if (stat.isCharacterDevice()) return terminalInput(onChunk, onEnd, raw)
  return pipeInput(stat.isFIFO(), onChunk, onEnd)
}

function fileInput(onChunk: (chunk: Uint8Array) => void, onEnd: () => void): Input {
  let ended = false
  return {
    kind: 'stream',
    want: (bytes) => {
      if (ended) return
      const chunk = Buffer.alloc(Math.min(bytes, 64 * 1024))
      const got = readSync(0, chunk, 0, chunk.length, null)
      if (got > 0) return onChunk(chunk.subarray(0, got))
      ended = true
      onEnd()
    },
    close: () => {
      ended = true
    },
  }
}

function pipeInput(fifo: boolean, onChunk: (chunk: Uint8Array) => void, onEnd: () => void): Input {
  let fd = 0
  if (fifo) {
    try {
      // Opened anew, so that others who share the pipe do not find it non-blocking.
      fd = openSync('/proc/self/fd/0', constants.O_RDONLY | constants.O_NONBLOCK)
    } catch {
      fd = 0
    }
  }
  let credit = 0
  const socket = new Socket({
    fd,
    readable: true,
    writable: false,
    onread: {
      buffer: Buffer.alloc(16 * 1024),
      callback: (size: number, buffer: Uint8Array) => {
        credit -= size
        onChunk(buffer.slice(0, size))
        return credit >= buffer.length
      },
    },
  } as ConstructorParameters<typeof Socket>[0])
  socket.pause()
  socket.on('end', onEnd)
  socket.on('error', onEnd)
  return {
    kind: 'stream',
    want: (bytes) => {
      credit += bytes
      if (credit >= 16 * 1024) socket.resume()
    },
    close: () => socket.destroy(),
  }
}

function terminalInput(onChunk: (chunk: Uint8Array) => void, onEnd: () => void, raw: boolean): Input {
  let stream: ReadStream | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false
  const open = () => {
    if (closed || stream !== undefined) return
    // A background job that reads from its terminal is stopped by the kernel, whether the program wants input or not.
    if (!inForeground()) {
      timer = setTimeout(open, 500).unref()
      return
    }
    stream = new ReadStream(0)
    if (raw) stream.setRawMode(true)
    stream.on('data', onChunk)
    stream.on('end', onEnd)
    stream.on('error', onEnd)
  }
  return {
    kind: 'stream',
    want: open,
    close: () => {
      closed = true
      clearTimeout(timer)
      if (raw) stream?.setRawMode(false)
      stream?.destroy()
    },
  }
}
