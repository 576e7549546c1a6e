import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { silentLog } from '../../system/index.js'
import { InstanceLog, readLog, type Printed } from './log.js'

let directory: string
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'thaw-log-'))))
afterEach(() => rmSync(directory, { recursive: true }))

async function collect(parts: AsyncIterable<Printed>): Promise<string> {
  let text = ''
  for await (const { stream, bytes } of parts) text += `${stream === 'stdout' ? 'o' : 'e'}${bytes}`
  return text
}

it('keeps both streams in their order, also for whoever comes later', async () => {
  const log = new InstanceLog(directory, silentLog)
  log.append('stdout', Buffer.from('one '))
  log.append('stderr', Buffer.from('two '))
  expect(await collect(log.read(false))).toBe('oone etwo ')
  log.close()
  expect(await collect(readLog(directory, silentLog))).toBe('oone etwo ')
})

it('is followed to its end, from its beginning', async () => {
  const log = new InstanceLog(directory, silentLog)
  log.append('stdout', Buffer.from('a'))
  const followed = collect(log.read(true))
  for (const text of ['b', 'c', 'd']) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    log.append('stdout', Buffer.from(text))
  }
  log.close()
  expect(await followed).toBe('oaobocod')
  const gone = new AbortController()
  const left = collect(new InstanceLog(directory, silentLog).read(true, gone.signal))
  gone.abort()
  expect(await left).toBe('oaobocod')
})

it('gives up the oldest, and stays within its bound', async () => {
  const log = new InstanceLog(directory, silentLog, 40_000)
  for (let i = 0; i < 1000; i++) log.append('stdout', Buffer.from(`${i} ${'x'.repeat(195)}\n`))
  const size = readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
  expect(size).toBeLessThan(52_000)
  const text = await collect(log.read(false))
  expect(text.length).toBeGreaterThan(25_000)
  expect(text).toContain('999 ')
  expect(text).not.toContain('o1 ')
  log.close()
})
