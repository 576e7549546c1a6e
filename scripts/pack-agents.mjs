// Puts the agents into packages/thaw while it is packed, and takes them out again (--undo).
// In a clone the program uses the originals, so the copy is there for no longer than the packing takes.
import { cpSync, existsSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { build, install, root } from './workspace.mjs'

const target = join(root, 'packages', 'thaw', 'agents')
rmSync(target, { recursive: true, force: true })
if (!process.argv.includes('--undo')) {
  install()
  build()
  cpSync(join(root, 'agents'), target, {
    recursive: true,
    filter: (path) =>
      basename(path) !== '__pycache__' && !path.endsWith('.pyc') && basename(path) !== 'tests',
  })
}
for (const name of ['LICENSE', 'README.md']) {
  const copy = join(root, 'packages', 'thaw', name)
  if (process.argv.includes('--undo')) rmSync(copy, { force: true })
  else if (existsSync(join(root, name))) cpSync(join(root, name), copy)
}
