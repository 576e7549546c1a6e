import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import fc from 'fast-check'
import { Home, until } from '../support/home.js'
import { connectMcp } from '../support/mcp.js'
import { Arbitraries, type Schema } from '../support/schema.js'

/** The first half costs time; the second has the bug. */
const PROGRAM = `import random
import time


def load():
    time.sleep(0.4)
    return [3, 1, 2]


def total(values):
    return sum(values) + 1


def main():
    values = load()
    print("loaded", len(values))
    answer = total(values)
    assert answer == 6, f"got {answer}"
    print("answer", answer)


main()
`

let home: Home
let client: Client
let call: Awaited<ReturnType<typeof connectMcp>>['call']
beforeAll(async () => {
  home = new Home({ THAW_FACTOR: '1' })
  home.write('app.py', PROGRAM)
  ;({ client, call } = await connectMcp(home))
})
afterAll(async () => {
  await client.close()
  await home[Symbol.asyncDispose]()
})

const idIn = (text: string, kind: 'r' | 'b' | 'c' | 'o') =>
  new RegExp(`\\b${kind}_[0-9a-z]+`).exec(text)?.[0] ?? `no ${kind}`

it('describes twelve tools in few words', async () => {
  const { tools } = await client.listTools()
  expect(
    tools
      .map(({ name }) => name)
      .sort()
      .join(' '),
  ).toBe('checkpoints compare create exec explain keep list logs resume run stop wait')
  // What every conversation pays for.
  expect(JSON.stringify(tools).length).toBeLessThan(12_000)
})

it("carries an agent's loop: run, edit, resume, stop, fan out, compare, explain", async () => {
  const command = 'python3 app.py'
  const first = await call('run', { command })
  expect(first.text).toMatch(/^ran cold, .*first run\nexit 1, run r_\w+, branch b_\w+\n/)
  expect(first.text).toContain('AssertionError: got 7')

  home.write('app.py', PROGRAM.replace('sum(values) + 1', 'sum(values)'))
  const second = await call('run', { command })
  expect(second.text).toMatch(/^resumed before total\(\) \(app\.py:10\), .* instead of /)
  expect(second.text).toContain('exit 0')
  expect(second.text).toContain('loaded 3\nanswer 6')

  const why = await call('explain', { id: idIn(second.text, 'r') })
  expect(why.text).toMatch(/resumed from c_\w+, before total\(\) \(app\.py:10\), exit 0/)
  expect(why.text).toContain('app.py total (body)')

  const listed = await call('checkpoints')
  expect(listed.text).toMatch(/c_\w+ {2}(0\.\d\d s|\d\d ms) {2}before total\(\) \(app\.py:10\)/)

  const stopped = await call('run', { command, stop_at: ['app.py:total'] })
  expect(stopped.text).toMatch(/^stopped before total\(\)/)
  expect(stopped.text).toMatch(/Next: edit, then resume \(checkpoint c_\w+\)/)

  const changed = PROGRAM.replace('sum(values) + 1', 'print("by", random.random()) or sum(values)')
  home.write('app.py', changed)
  const stop = /checkpoint (c_\w+)/.exec(stopped.text)?.[1] ?? ''
  const many = await call('resume', { checkpoint: stop, count: 3 })
  expect(many.text).toMatch(/^resumed before total\(\) \(app\.py:10\) 3 times/)
  expect(many.text.match(/^b_\w+: exit 0/gm)).toHaveLength(3)

  const [a, b] = many.text.match(/^b_\w+/gm) ?? []
  const compared = await call('compare', { a, b })
  expect(compared.text).toMatch(/^b_\w+ exit 0, b_\w+ exit 0: (different|same output)/)
  const same = await call('compare', { a, b: a })
  expect(same.text).toContain('same output, same exit')
})

it('refuses an inexact resume with what would do, and goes on hot', async () => {
  home.write(
    'late.py',
    'import time\ndef one():\n    time.sleep(0.3)\n    return 1\ndef two(n):\n    print("two", n)\n\nx = one()\ntwo(x)\n',
  )
  const stopped = await call('run', { command: 'python3 late.py', stop_at: ['late.py:two'] })
  const checkpoint = idIn(stopped.text, 'c')
  home.write(
    'late.py',
    'import time\ndef one():\n    time.sleep(0.3)\n    return 5\ndef two(n):\n    print("two", n)\n\nx = one()\ntwo(x)\n',
  )
  const refused = await call('resume', { checkpoint })
  expect(refused.isError).toBe(true)
  expect(refused.text).toMatch(/^NOT_EXACT: .*mode hot/s)
  const hot = await call('resume', { checkpoint, mode: 'hot' })
  expect(hot.text).toContain('two 1')
})

it('answers while a command still runs, and stops it', async () => {
  const begun = await call('run', { command: 'sh -c "echo on; sleep 60"', wait_seconds: 1 })
  expect(begun.text).toMatch(/^running: operation o_\w+/)
  expect(begun.text).toContain('on')
  const operation = idIn(begun.text, 'o')
  expect((await call('wait', { operation, wait_seconds: 1 })).text).toMatch(/^running: /)
  expect((await call('stop', { id: operation })).text).toBe(`${operation}: cancelled`)
  expect((await call('wait', { operation })).isError).toBe(true)
})

it('keeps answers short, and finds lines in what it left out', async () => {
  const done = await call('run', { command: 'seq 1 100000', max_output: 1000 })
  expect(done.text.length).toBeLessThan(1500)
  expect(done.text).toMatch(/\[\.\.\. \d+ bytes left out; logs b_\w+\]/)
  expect(done.text).toContain('\n100000\n'.trimEnd())
  const found = await call('logs', { id: idIn(done.text, 'b'), match: '^77777$' })
  expect(found.text).toBe('1 line matches\n77777: 77777')
})

it('says what to do next when something is wrong', async () => {
  const unknown = await call('explain', { id: 'r_zzz' })
  expect(unknown).toMatchObject({ isError: true, text: expect.stringMatching(/^RUN_NOT_FOUND: .*r_zzz/) })
  const missing = await call('run', { command: 'no-such-program' })
  expect(missing).toMatchObject({ isError: true, text: expect.stringMatching(/^COMMAND_NOT_FOUND: /) })
  const pattern = await call('logs', { match: '(' })
  expect(pattern).toMatchObject({ isError: true, text: expect.stringMatching(/^INVALID_REQUEST: match/) })
  const wrong = await call('run', { command: 7 })
  expect(wrong.isError).toBe(true)
})

it('ends a program that its caller gives up', async () => {
  const abort = new AbortController()
  const given = { command: 'sh -c "echo begun; exec sleep 987"', cwd: home.project }
  const asked = client.callTool({ name: 'run', arguments: given }, undefined, { signal: abort.signal })
  const live = async () => (await call('list')).text.includes('  live, ')
  await until('it runs', live, 20)
  abort.abort()
  await expect(asked).rejects.toThrow()
  await until('it has ended', async () => !(await live()), 20)
})

it('every tool answers whatever it is given', async () => {
  const { tools } = await client.listTools()
  const run = idIn((await call('list')).text, 'r')
  const arbitraries = new Arbitraries({}, [run, 'last', idIn((await call('checkpoints')).text, 'c')])
  const calls = fc.constantFrom(...tools).chain(({ name, inputSchema }) =>
    fc.record({
      name: fc.constant(name),
      given: arbitraries.valueOf(inputSchema as Schema),
      // Commands as they come could do anything.
      command: fc.constantFrom('true', 'python3 app.py', '', '\0', 'no-such-program', ';', '"'),
    }),
  )
  await fc.assert(
    fc.asyncProperty(calls, async ({ name, given, command }) => {
      const isObject = typeof given === 'object' && given !== null && !Array.isArray(given)
      // The process engine would fetch what it lacks, and an answer is to come at once.
      const harmless = {
        ...(name === 'run' ? { command } : {}),
        stop_on_output: undefined,
        stop_on_listen: undefined,
        wait_seconds: 1,
      }
      const answer = await call(name, isObject ? { ...given, ...harmless } : harmless)
      if (answer.isError && !/^[A-Z_]+: |^MCP error -32602/.test(answer.text)) throw new Error(answer.text)
      if (answer.text.startsWith('INTERNAL')) throw new Error(answer.text)
    }),
    { numRuns: 150, interruptAfterTimeLimit: 10_000, endOnFailure: true },
  )
  expect((await call('list')).isError).toBe(false)
})
