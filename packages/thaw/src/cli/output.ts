import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { isatty } from 'node:tty'

const NEWLINE = 10
/** Whether what was written to a terminal last ended within a line. */
let withinLine = false

/** Where one of the program's streams goes. */
export interface Output {
  /** Resolves when more may come. Throws or rejects with EPIPE when the reader has gone. */
  write(chunk: Uint8Array): void | Promise<void>
  /** Waits until all is written. */
  flush(): Promise<void>
}

/**
 * The output for a descriptor of this process. A pipe is opened anew, so that it can be written without blocking
 * (signals are still heard while the reader pauses) and without making it non-blocking for others who share it.
 */
export function outputTo(fd: 1 | 2): Output {
  const stat = fstatSync(fd)
  if (stat.isFIFO()) {
    try {
      return socketOutput(openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK))
    } catch (error) {
      // ENXIO: there is no reader any more, which the write will report. Otherwise: not ours to open anew.
      if ((error as NodeJS.ErrnoException).code === 'ENXIO') return directOutput(fd)
    }
  } else if (stat.isSocket()) return socketOutput(fd)
  return directOutput(fd)
}

function socketOutput(fd: number): Output {
  const socket = new Socket({ fd, readable: false, writable: true })
  // Each write reports its own failure; without a listener the event would end the process.
  socket.on('error', () => {})
  let last: Promise<void> = Promise.resolve()
  return {
    // Waiting for each chunk keeps memory flat, and tells of a broken pipe at once.
    write: (chunk) => {
      last = new Promise((resolve, reject) => {
        socket.write(chunk, (error) => (error ? reject(error) : resolve()))
      })
      return last
    },
    flush: () => last,
  }
}

function directOutput(fd: number): Output {
  const terminal = isatty(fd)
  const writeAll = (chunk: Uint8Array, from: number): void | Promise<void> => {
    let at = from
    while (at < chunk.length) {
      try {
        at += writeSync(fd, chunk, at)
        if (terminal) withinLine = chunk[at - 1] !== NEWLINE
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
        const rest = at
        return new Promise<void>((resolve) => setTimeout(resolve, 5)).then(() => writeAll(chunk, rest))
      }
    }
  }
  return { write: (chunk) => writeAll(chunk, 0), flush: async () => {} }
}

/** Writes a line of thaw's own to stderr, whatever state it is in: on a terminal beside nothing of the program's. */
export function say(line: string): void {
  const bytes = Buffer.from(`${withinLine && isatty(2) ? '\n' : ''}${line}\n`)
  withinLine = false
  for (let at = 0, tries = 0; at < bytes.length && tries < 1000;) {
    try {
      at += writeSync(2, bytes, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
      tries++
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}

/** Opens a file for a report before the work begins, so that a typing error costs nothing. */
export function openForReport(file: string): { write(text: string): void } {
  closeSync(openSync(file, 'a', 0o666))
  return {
    write: (text) => {
      const fd = openSync(file, 'w', 0o666)
      writeSync(fd, text)
      closeSync(fd)
    },
  }
}
