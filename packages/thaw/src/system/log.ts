import { pino, stdTimeFunctions, type Logger } from 'pino'
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

/** Fields that hold secrets, or may; also one level down. */
const SECRET = ['env', 'token', 'tokens', 'authorization', 'headers', 'secret', 'password', 'stdin', 'body']

function makeLogger(least: LogLevel, write: (line: string) => void): Logger {
  return pino(
    {
      level: least,
      base: null,
      messageKey: 'message',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      redact: { paths: SECRET.flatMap((name) => [name, `*.${name}`]), censor: '(left out)' },
    },
    { write },
  )
}

function logOf(logger: Logger): Log {
  const at = (level: LogLevel) => (message: string, fields?: Record<string, unknown>) =>
    logger[level](plain(fields), message)
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => logOf(logger.child(fields)),
  }
}

/** Tokens are also part of addresses and messages that other libraries make. */
const hide = (text: string) => text.replace(/thaw_[0-9a-f]{12}_[\w-]{43}/g, 'thaw_(left out)')

function plain(fields: Record<string, unknown> | undefined): Record<string, unknown> {
  if (fields === undefined) return {}
  const entries = Object.entries(fields).map(([key, value]) => [
    key,
    value instanceof Error ? (value.stack ?? value.message) : value,
  ])
  return Object.fromEntries(entries) as Record<string, unknown>
}

/** A log that keeps nothing. */
export const silentLog: Log = (() => {
  const nothing = () => {}
  const log: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => log }
  return log
})()

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
      size += writeSync(fd, hide(line))
    } catch {
      return
    }
  }
  return Object.assign(logOf(makeLogger(least, write)), { [Symbol.dispose]: () => closeSync(fd) })
}
