import { expect, it, describe } from 'vitest'
import { Bench, COUNTER, remains, whyNot } from '../support/process.js'
import { existsSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { until } from '../support/home.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)

const RESTORES = Number(process.env['THAW_TEST_RESTORES'] ?? 100)
const CLONES = 50

const ownDescriptors = () => remains('/proc/self/fd').files.length

describe.skipIf(why !== null)('many', () => {
  it(
    `${RESTORES} restores of one checkpoint, ${CLONES} clones at once; nothing is left`,
    { timeout: 900_000 },
    async () => {
      let directory = ''
      let descriptors = 0
      {
        await using bench = new Bench()
        directory = bench.directory
        const one = await bench.launch(['python3', '-c', COUNTER], { network: 'private' })
        await one.prints('ready')
        await one.ask('a\n', '1 a')
        const image = await bench.checkpoint(one)
        descriptors = ownDescriptors()
        for (let i = 0; i < RESTORES; i++) {
          const two = await bench.restore(image)
          await two.type('exit\n')
          expect(await two.ended).toMatchObject({ code: 2, signal: null })
          expect(two.stdout).toBe('2 exit\n')
          await two.branch.gone
        }
        await until('descriptors are closed', () => ownDescriptors() <= descriptors)
        const clones = await Promise.all(Array.from({ length: CLONES }, () => bench.restore(image)))
        await Promise.all(clones.map((two, i) => two.ask(`clone ${i}\n`, `2 clone ${i}\n`)))
        await Promise.all(clones.map((two) => two.type('exit\n')))
        for (const two of clones) expect(await two.ended).toMatchObject({ code: 3 })
        await one.ask('b\n', '2 b')
      }
      expect(remains(tmpdir()).sandboxes).toEqual([])
      expect(existsSync(directory)).toBe(false)
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(directory)
    },
  )
})
