/** The allowance (limits, nice value, processors) of this process, and which one it can hand on. */
import type { Allowance } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { callerInProc, callerPid } from './caller.js'

type Limit = Allowance['limits'][number]

/** In which the soft limit on open files is handed to Node, which raises its own at the start. */
export const OPEN_FILES_VARIABLE = 'THAW_NOFILE'
const OPEN_FILES = 'open files'

const LINE = /^Max (.+?) {2,}(\S+) +(\S+)/gm
const CAP_SYS_NICE = 23n
const CAP_SYS_RESOURCE = 24n

function readLimits(of = 'self'): { name: string; limit: Limit }[] {
  const text = readFileSync(`/proc/${of}/limits`, 'latin1')
  return [...text.matchAll(LINE)].map(([, name = '', soft = '', hard = '']) => ({
    name,
    limit: [soft, hard],
  }))
}

function statusField(name: string, of = 'self'): string {
  const text = readFileSync(`/proc/${of}/status`, 'latin1')
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1] ?? ''
}

/**
 * Of this process, or the one that it stands for.
 *
 * @param openFiles the soft limit on open files that it was started with, where it is known
 */
export function ownAllowance(openFiles?: string): Allowance {
  const of = callerInProc()
  const limits = readLimits(of).map(({ name, limit: [soft, hard] }): Limit => [
    name === OPEN_FILES ? (openFiles ?? soft) : soft,
    hard,
  ])
  return { limits, nice: getPriority(callerPid()), cpus: statusField('Cpus_allowed_list', of) }
}

/** The first thing in which two allowances differ, in words; null: none. */
export function allowanceDifference(a: Allowance, b: Allowance): string | null {
  const names = readLimits().map(({ name }) => name)
  const at = names.findIndex((_, i) => String(a.limits[i]) !== String(b.limits[i]))
  if (at >= 0) return `the limit on ${names[at]} (ulimit)`
  if (a.nice !== b.nice) return 'the nice value'
  return a.cpus === b.cpus ? null : 'the set of processors (taskset)'
}

export interface Grant {
  /** What a child of this process can be given. */
  given: Allowance
  /** In which respect that is less than what was wanted; null: in none. */
  lacking: string | null
}

/**
 * The nearest that a child of this process can be given: hard limits may not be raised, nor priorities, without the
 * right to.
 *
 * @throws ThawError LIMITS_NOT_GIVEN where the program would meet another limit (a soft one)
 */
export function grant(wanted: Allowance): Grant {
  const rights = BigInt(`0x${statusField('CapEff') || '0'}`)
  const may = (right: bigint) => (rights & (1n << right)) !== 0n
  const own = readLimits()
  let lacking: string | null = null
  const limits = wanted.limits.map(([soft, hard], i): Limit => {
    const mine = own[i]
    if (mine === undefined || may(CAP_SYS_RESOURCE) || !exceeds(hard, mine.limit[1])) return [soft, hard]
    if (exceeds(soft, mine.limit[1])) {
      const message = `The limit on ${mine.name} is ${soft} here, and the daemon may give no more than ${mine.limit[1]}.`
      throw new ThawError('LIMITS_NOT_GIVEN', message)
    }
    lacking ??= `its hard limit on ${mine.name} is the daemon's (${mine.limit[1]})`
    return [soft, mine.limit[1]]
  })
  // From 20 on up, RLIMIT_NICE allows what it exceeds: 20 means 0, 40 means -20.
  const floor = own.find(({ name }) => name === 'nice priority')?.limit[0] ?? '0'
  const lowest = Math.min(getPriority(), floor === 'unlimited' ? -20 : 20 - Number(floor))
  const nice = may(CAP_SYS_NICE) ? wanted.nice : Math.max(wanted.nice, lowest)
  if (nice !== wanted.nice) lacking ??= `its nice value is the daemon's (${nice})`
  return { given: { limits, nice, cpus: wanted.cpus }, lacking }
}

/** A reason with what is lacking behind it. */
export function withLack<Reason extends string | null>(reason: Reason, { lacking }: Grant): Reason | string {
  if (lacking === null) return reason
  return reason === null ? lacking : `${reason}; ${lacking}`
}

function exceeds(a: string, b: string): boolean {
  if (b === 'unlimited') return false
  return a === 'unlimited' || BigInt(a) > BigInt(b)
}
