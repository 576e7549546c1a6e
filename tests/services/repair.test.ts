import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ServiceAnswer } from '@thaw/protocol'
import { Home } from '../support/home.js'

const FAULTY = `CALLS = []

def price(item):
    CALLS.append(item)
    total = item["amount"] * 2
    return total / item["parts"]

def calls():
    return len(CALLS)
`

let home: Home
let file: string
beforeAll(() => {
  home = new Home()
  const project = join(home.project, 'shop')
  mkdirSync(project)
  file = join(project, 'shop.py')
})
afterAll(() => home[Symbol.asyncDispose]())

const call = (...args: string[]) => home.run(['call', 'shop', ...args])
const deploy = async (...flags: string[]) => {
  writeFileSync(file, FAULTY)
  const done = await home.run(['service', 'deploy', file, '--replace', ...flags])
  expect(done.stderr).toBe('')
  expect(done.code).toBe(0)
}

it('a call that raises an error is repaired and made again, the state stays', async () => {
  // Two faults, one behind the other: the repairer mends what the bundle names.
  const repairer = join(home.directory, 'mend.py')
  writeFileSync(
    repairer,
    `import json, sys
bundle = json.load(sys.stdin)
open(${JSON.stringify(join(home.directory, 'bundles'))}, "a").write(json.dumps(bundle) + "\\n")
text = open("shop.py").read()
error = bundle["failure"]["exceptions"][0]["type"]
old, new = ('["amount"]', '["price"]') if error == "KeyError" else ('item["parts"]', 'max(1, item["parts"])')
open("shop.py", "w").write(text.replace(old, new))
`,
  )
  await deploy('--repair', `python3 ${repairer}`)
  const { result, repaired } = await home.json<ServiceAnswer>([
    'call',
    'shop',
    'price',
    '{"price": 6, "parts": 0}',
  ])
  expect(result).toBe(12)
  expect(repaired).toHaveLength(2)
  expect(repaired[1]).toContain('+    return total / max(1, item["parts"])')
  expect(readFileSync(file, 'utf8')).toContain('item["price"] * 2')
  const bundles = readFileSync(join(home.directory, 'bundles'), 'utf8').trim().split('\n')
  expect(bundles.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    {
      failure: {
        exceptions: [
          { type: 'KeyError', frames: [{ function: 'price', locals: { item: expect.any(String) } }] },
        ],
      },
    },
    { failure: { exceptions: [{ type: 'ZeroDivisionError' }] }, tried: [{ outcome: 'accepted' }] },
  ])
  expect((await call('calls')).stdout.trim()).toBe('3')
  expect((await call('price', '{"price": 4, "parts": 2}')).stdout.trim()).toBe('4')
}, 60_000)

it('what does not help is taken back, and the error is told with what was tried', async () => {
  await deploy('--repair', 'echo >> shop.py')
  const useless = await call('price', '{}')
  expect(useless.code).not.toBe(0)
  expect(useless.stderr).toContain("KeyError: 'amount'")
  expect(readFileSync(file, 'utf8')).toBe(FAULTY)
  await deploy('--repair', 'echo "def (" >> shop.py')
  expect((await call('price', '{}')).stderr).toContain("KeyError: 'amount'")
  expect(readFileSync(file, 'utf8')).toBe(FAULTY)
  await deploy('--repair', 'true')
  expect((await call('price', '{}')).stderr).toContain("KeyError: 'amount'")
  expect((await call('calls')).stdout.trim()).toMatch(/^\d+$/)
}, 60_000)

it('nothing is repaired unless that was asked', async () => {
  await deploy()
  expect((await call('price', '{}')).stderr).toContain("KeyError: 'amount'")
  expect(readFileSync(file, 'utf8')).toBe(FAULTY)
})
