import { constants } from 'node:os'

/** 128 + n, as a shell reports a signal. */
export function signalCode(name: string): number {
  return 128 + (constants.signals[name as NodeJS.Signals] ?? 0)
}

/** The exit code a shell reports. */
export function exitCode(exit: { code: number | null; signal: string | null }): number {
  return exit.signal === null ? (exit.code ?? 125) : signalCode(exit.signal)
}
