import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { plainCommand } from '../../packages/thaw/src/engines/process/criu/criu.js'
import { findFetched } from '../../packages/thaw/src/engines/process/criu/fetch.js'
import { bundle } from '../support/bundle.js'
import { until } from '../support/home.js'

/** Seconds; a slow mirror is not a defect. */
const PATIENCE = 240

describe('fetching criu', { timeout: 2.5 * PATIENCE * 1000 }, () => {
  let built: Awaited<ReturnType<typeof bundle>>
  let home: string
  beforeAll(async () => {
    built = await bundle('tests/process/fetch-victim.ts')
    home = mkdtempSync(join(tmpdir(), 'thaw-fetch-'))
  })
  afterAll(() => {
    built[Symbol.dispose]()
    rmSync(home, { recursive: true, force: true })
  })

  const begin = (directory: string, env: Record<string, string> = {}) => {
    const child = spawn(process.execPath, [built.program, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    })
    const one = {
      child,
      said: '',
      ended: new Promise<void>((resolve) => child.once('close', () => resolve())),
    }
    child.stdout.on('data', (chunk: Buffer) => (one.said += chunk.toString()))
    return one
  }
  const entries = (directory: string) => readdirSync(directory, { recursive: true }).map(String)

  it('says so where there is no network, and leaves nothing', async () => {
    const directory = join(home, 'offline', 'criu')
    const proxy = 'http://127.0.0.1:9'
    const one = begin(directory, { http_proxy: proxy, https_proxy: proxy })
    await one.ended
    expect(one.said).toMatch(
      /^SETUP_FAILED: (reading the list of packages|fetching criu from Debian) failed \(/m,
    )
    expect(readdirSync(directory)).toEqual([])
  })

  it('goes well after a fetch that was killed, for two who begin at once: one of them fetches', async () => {
    const directory = join(home, 'online', 'criu')
    const killed = begin(directory)
    await until(
      'something has arrived, or it has failed',
      () =>
        entries(home).some((name) => /lists\/.*_Packages|SETUP_FAILED/.test(name)) ||
        killed.said.includes(': '),
      PATIENCE,
    )
    killed.child.kill('SIGKILL')
    await killed.ended
    if (killed.said.includes('SETUP_FAILED')) return console.warn(`skipped: ${killed.said}`)
    expect(readdirSync(directory)).toHaveLength(1)
    expect(findFetched(directory)).toBeNull()
    const both = [begin(directory), begin(directory)]
    await Promise.all(both.map(({ ended }) => ended))
    const found = findFetched(directory)
    if (found === null) throw new Error(both.map(({ said }) => said).join())
    for (const { said } of both) expect(said).toContain(`at ${found.path}\n`)
    expect(both.filter(({ said }) => said.includes('fetching'))).toHaveLength(1)
    expect(
      execFileSync(plainCommand(found)[0] ?? '', [...plainCommand(found).slice(1), '--version']).toString(),
    ).toContain('Version')
    expect(readdirSync(directory)).toHaveLength(1)
    // What the killed one had started ends too.
    await until('no apt-get of ours is left', () => commands().every((one) => !one.includes(directory)), 60)
  })
})

function commands(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
      } catch {
        return ''
      }
    })
}
