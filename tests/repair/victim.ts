/** Puts one step in place, and is killed before its Nth change of the file system: `victim DIRECTORY N`. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'

const [directory = '', last = ''] = process.argv.slice(2)
let left = Number(last)
const table = fs as unknown as Record<string, (...given: unknown[]) => unknown>
// Those that make, name and remove files; what is written into one that has no name yet changes nothing.
for (const name of ['mkdirSync', 'openSync', 'renameSync', 'rmSync']) {
  const original = table[name] as (...given: unknown[]) => unknown
  table[name] = (...given) => {
    if (--left === 0) process.kill(process.pid, 'SIGKILL')
    return original(...given)
  }
}
syncBuiltinESMExports()

const { Steps } = await import('../../packages/thaw/src/repair/steps.js')
const names = ['a.py', 'b.py']
new Steps(join(directory, 'steps')).accept(
  join(directory, 'project'),
  names.map((name) => ({
    path: name,
    before: Buffer.from(`before ${name}\n`),
    after: Buffer.from(`after ${name}\n`),
    mode: 0o644,
  })),
)
