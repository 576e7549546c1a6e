/** The daemon's own log, read from its file: also when no daemon runs. */
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { findPaths } from '../../system/paths.js'

const LOOK_EVERY = 250
const PIECE = 64 * 1024

/** @param follow until the reader goes away */
export async function printDaemonLog(follow: boolean): Promise<number> {
  const file = findPaths().log
  const write = (text: string) =>
    new Promise<void>((resolve, reject) =>
      process.stdout.write(text, (error) => (error ? reject(error) : resolve())),
    )
  process.stdout.on('error', () => {})
  let reader = open(file)
  try {
    for (;;) {
      for (let text = reader?.next(); text !== undefined && text !== ''; text = reader?.next()) {
        await write(text.split('\n').map(readable).join('\n'))
      }
      if (!follow) return 0
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY))
      // Begun anew when it had grown large.
      if (reader === undefined || reader.inode !== inodeOf(file)) {
        reader?.close()
        reader = open(file)
      }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return 141
    throw error
  } finally {
    reader?.close()
  }
}

interface Reader {
  inode: number
  /** Whole lines that have come since the last call. */
  next(): string
  close(): void
}

function open(file: string): Reader | undefined {
  const inode = inodeOf(file)
  if (inode === undefined) return undefined
  const fd = openSync(file, 'r')
  let rest = Buffer.alloc(0)
  return {
    inode,
    next: () => {
      const piece = Buffer.alloc(PIECE)
      const whole = Buffer.concat([rest, piece.subarray(0, readSync(fd, piece))])
      const end = whole.lastIndexOf(10) + 1
      rest = whole.subarray(end)
      return whole.toString('utf8', 0, end)
    },
    close: () => closeSync(fd),
  }
}

function inodeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.ino
}

/** `2026-01-02T03:04:05.678Z info  ready pid=42`; what is no line of JSON stays as it is. */
function readable(line: string): string {
  if (!line.startsWith('{')) return line
  let fields: Record<string, unknown>
  try {
    fields = JSON.parse(line) as Record<string, unknown>
  } catch {
    return line
  }
  const { time, level, message, ...rest } = fields
  const more = Object.entries(rest).map(([name, value]) => {
    return ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`
  })
  return `${String(time)} ${String(level).padEnd(5)} ${String(message)}${more.join('')}`
}
