import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { expect, it } from 'vitest'
import { Cgroup, sweepCgroups } from './cgroup.js'

/** Whether cgroups may be made here at all: as root, where they are not read-only. */
function mayMake(): boolean {
  for (const root of ['/sys/fs/cgroup/pids', '/sys/fs/cgroup/unified', '/sys/fs/cgroup']) {
    try {
      mkdirSync(`${root}/thaw-probe`)
      rmdirSync(`${root}/thaw-probe`)
      return true
    } catch {
      // Perhaps the next.
    }
  }
  return false
}

const traces = () =>
  ['', '/pids', '/memory', '/cpu', '/cpuacct', '/unified'].flatMap((one) => {
    const directory = `/sys/fs/cgroup${one}`
    return existsSync(directory) ? readdirSync(directory).filter((name) => name.startsWith('thaw-test')) : []
  })

/** Resolves when it has said that. */
function saying(stream: Readable, what: RegExp): Promise<void> {
  let said = ''
  return new Promise((resolve) => {
    stream.on('data', (chunk) => {
      said += String(chunk)
      if (what.test(said)) resolve()
    })
  })
}

it.skipIf(!mayMake())(
  'keeps a program within limits, counts what it uses, and freezes it (skipped where cgroups may not be made)',
  async () => {
    const group = new Cgroup('test-limits', { memory: 200_000_000, processes: 20 })
    expect(group.missing).toEqual([])
    const child = spawn(
      'sh',
      ['-c', 'read x; i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; wait'],
      {
        stdio: ['pipe', 'ignore', 'pipe'],
        detached: true,
      },
    )
    const pid = child.pid ?? 0
    group.admit(pid)
    const complaint = saying(child.stderr, /fork/i)
    child.stdin.write('\n')
    await complaint
    expect(group.use.processes).toBeGreaterThan(2)
    expect(group.use.processes).toBeLessThanOrEqual(20)
    expect(group.use.memory).toBeGreaterThan(0)
    process.kill(-pid, 'SIGKILL')
    await once(child, 'close')
    const busy = spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' })
    group.admit(busy.pid ?? 0)
    // The kernel would take this process for it.
    expect(() => group.admit(0)).toThrow('no process 0')
    const ticks = () => Number(readFileSync(`/proc/${busy.pid}/stat`, 'latin1').split(' ')[13])
    const after = async (ms: number) => {
      const before = ticks()
      await new Promise((resolve) => setTimeout(resolve, ms))
      return ticks() - before
    }
    expect(await after(300)).toBeGreaterThan(0)
    if (group.freezes) {
      group.freeze(() => [busy.pid ?? 0])
      await after(20)
      expect(await after(200)).toBe(0)
      group.thaw()
      expect(await after(300)).toBeGreaterThan(0)
    }
    busy.kill('SIGKILL')
    await once(busy, 'close')
    group[Symbol.dispose]()
    expect(new Cgroup('test-left', {}).missing).toEqual([])
    expect(traces()).not.toEqual([])
    sweepCgroups((name) => name.startsWith('test-'))
    expect(traces()).toEqual([])
  },
)
