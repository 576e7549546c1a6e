import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { findPaths } from '../../packages/thaw/src/system/index.js'
import { bundle } from '../support/bundle.js'
import { environment, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)
const NOBODY = 65534
const isRoot = process.geteuid?.() === 0

/** The same tests run without root where thaw is developed without it; as root, one of them is made nobody. */
it.skipIf(why !== null || !isRoot || !existsSync('/usr/bin/setpriv'))('works without root', async () => {
  using built = await bundle('tests/process/user-program.ts')
  const home = mkdtempSync(join(tmpdir(), 'thaw-nobody-'))
  try {
    const fetched = join(findPaths().cache, 'criu')
    if (existsSync(fetched))
      cpSync(fetched, join(home, 'cache', 'thaw', 'criu'), { recursive: true, verbatimSymlinks: true })
    execFileSync('chown', ['-R', String(NOBODY), home])
    const ids = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups']
    const done = spawnSync('setpriv', [...ids, '--', process.execPath, built.program], {
      cwd: '/',
      env: { ...environment(), HOME: home, XDG_CACHE_HOME: join(home, 'cache'), PATH: '/usr/bin:/bin' },
      encoding: 'utf8',
      timeout: 50_000,
    })
    const result = JSON.parse(
      done.stdout === '' ? `{"why":${JSON.stringify(done.stderr)}}` : done.stdout,
    ) as {
      why: string | null
    }
    // A kernel without user namespaces for users: said, and that is all.
    if (result.why?.startsWith('ENGINE_MISSING') === true) return
    expect(result).toEqual({
      why: null,
      codes: [2, 2],
      root: true,
      // Who writes files is told to root only.
      notCovered: ['files that it had closed, of which not all are known'],
      said: true,
    })
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
})
