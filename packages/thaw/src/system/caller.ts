/** The process that a command of the command line is of: this one, or the one that it stands for. */
let caller: number | 'self' = 'self'

/** From now on, what this process says of itself is said of that one. */
export function standFor(pid: number): void {
  caller = pid
}

/** Below /proc. */
export function callerInProc(): string {
  return String(caller)
}

/** As system calls want it: 0 is this process. */
export function callerPid(): number {
  return caller === 'self' ? 0 : caller
}
