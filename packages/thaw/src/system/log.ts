import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
  /** A log whose every line carries these fields as well. */
  child(fields: Record<string, unknown>): Log
}

const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 }

function makeLog(write: (line: string) => void, least: LogLevel, bound: Record<string, unknown>): Log {
  const at = (level: LogLevel) => (message: string, fields?: Record<string, unknown>) => {
    if (RANK[level] < RANK[least]) return
    write(
      `${JSON.stringify({ time: new Date().toISOString(), level, message, ...bound, ...plain(fields) })}\n`,
    )
  }
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => makeLog(write, least, { ...bound, ...fields }),
  }
}

function plain(fields: Record<string, unknown> | undefined): Record<string, unknown> {
  if (fields === undefined) return {}
  const entries = Object.entries(fields).map(([key, value]) => [
    key,
    value instanceof Error ? (value.stack ?? value.message) : value,
  ])
  return Object.fromEntries(entries) as Record<string, unknown>
}

/** A log that keeps nothing. */
export const silentLog: Log = makeLog(() => {}, 'error', {})

/**
 * JSON lines appended to a file, readable by its owner only. At `limit` bytes the file is renamed to `FILE.old`
 * and begun anew. A line that cannot be written (disk full) is dropped: logging never fails its caller.
 */
export function fileLog(file: string, least: LogLevel = 'info', limit = 8 * 1024 * 1024): Log & Disposable {
  let fd = openSync(file, 'a', 0o600)
  let size = fstatSync(fd).size
  const write = (line: string) => {
    try {
      if (size > limit) {
        renameSync(file, `${file}.old`)
        closeSync(fd)
        fd = openSync(file, 'a', 0o600)
        size = 0
      }
      size += writeSync(fd, line)
    } catch {
      return
    }
  }
  return Object.assign(makeLog(write, least, {}), { [Symbol.dispose]: () => closeSync(fd) })
}
