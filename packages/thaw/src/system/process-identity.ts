import { readFileSync } from 'node:fs'
import { callerInProc } from './caller.js'

/** A process beyond doubt: a pid alone may have been given to another process, or be from before a reboot. */
export interface ProcessIdentity {
  pid: number
  /** Start time in clock ticks since boot. */
  start: string
  /** Identity of the boot, from the kernel. */
  boot: string
}

let boot: string | undefined

/** Which start of the machine this is. */
export function bootId(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return boot
}

/** The fields of /proc/PID/stat after the name, which may itself hold spaces and parentheses. */
function statFields(pid: number | string): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

/** Identity of a process, or undefined when there is none with this pid. */
export function identify(pid: number): ProcessIdentity | undefined {
  const fields = statFields(pid)
  const start = fields?.[19]
  return start === undefined ? undefined : { pid, start, boot: bootId() }
}

/** Whether this very process still runs (a zombie does not). */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.boot !== bootId()) return false
  const fields = statFields(identity.pid)
  return fields !== undefined && fields[19] === identity.start && fields[0] !== 'Z' && fields[0] !== 'X'
}

/** Whether there is a process of that pid, which may be anybody's. */
export function isRunning(pid: number): boolean {
  return statFields(pid) !== undefined
}

/** Whether this process, or the one that it stands for, belongs to the foreground job of its terminal: only then may it read from it. */
export function inForeground(): boolean {
  const fields = statFields(callerInProc())
  return fields !== undefined && fields[2] === fields[5]
}
