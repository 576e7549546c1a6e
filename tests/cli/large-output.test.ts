import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { Home } from '../support/home.js'

const GIGABYTE = 1_000_000_000
/** Above what daemon and command line hold when idle; the output itself is many times larger. */
const ALLOWED_GROWTH = 150e6

it('streams 1 GB with flat memory', { timeout: 120_000 }, async () => {
  await using home = new Home({ THAW_OUTPUT: '50MB' })
  await home.run(['daemon', 'start'])
  const { pid } = await home.json<{ pid: number }>(['daemon', 'status'])
  const before = resident(pid)
  const child = spawn(
    process.execPath,
    [home.thaw, 'run', '-q', 'head', '-c', String(GIGABYTE), '/dev/zero'],
    {
      cwd: home.project,
      env: home.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let received = 0
  let daemonPeak = 0
  let clientPeak = 0
  for await (const chunk of child.stdout) {
    received += (chunk as Buffer).length
    if (received % 20 === 0) {
      daemonPeak = Math.max(daemonPeak, resident(pid))
      clientPeak = Math.max(clientPeak, resident(child.pid as number))
    }
  }
  expect(received).toBe(GIGABYTE)
  expect(daemonPeak - before).toBeLessThan(ALLOWED_GROWTH)
  expect(clientPeak).toBeLessThan(ALLOWED_GROWTH)
})

/** Bytes of memory a process has; 0 when it is gone. */
function resident(pid: number): number {
  try {
    const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return Number(kilobytes ?? 0) * 1024
  } catch {
    return 0
  }
}
