/** Root file systems of the distribution's own packages, by mmdebstrap; kept by content of the recipe. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Disposables, ThawError, type Scope } from '../../system/index.js'
import { Apt, runTool } from '../debian/apt.js'
import { SUITE, type VmToolsProvider } from './tools.js'

/** Raised when the same recipe gives another root. */
const RECIPE = 1
/** What nobody reads in a machine. */
const LEFT_OUT = [
  'usr/share/doc/*',
  'usr/share/man/*',
  'usr/share/locale/*',
  'var/cache/apt/*',
  'var/lib/apt/lists/*',
]
const INSTEAD = 'Build the image of a directory or an OCI layout instead (`thaw image create`).'

/**
 * A tar archive of a minimal system with packages. As root their scripts run in a plain chroot, else in a user
 * namespace, which takes subordinate ids (/etc/subuid).
 *
 * @returns the file, which stays in thaw's cache
 * @throws ThawError SETUP_FAILED, DISK_FULL; nothing half is left behind
 */
export async function makeRoot(
  provider: VmToolsProvider,
  packages: readonly string[],
  say: (what: string) => void,
  scope: Scope,
): Promise<string> {
  const wanted = [...new Set(packages)].sort()
  for (const name of wanted) {
    if (!/^[a-z0-9][a-z0-9.+-]*$/.test(name)) {
      throw new ThawError('INVALID_REQUEST', `${name} is no name of a package.`)
    }
  }
  const digest = createHash('sha256')
    .update(JSON.stringify([RECIPE, SUITE, wanted]))
    .digest('hex')
  const directory = join(provider.directory, 'roots')
  const file = join(directory, `${digest.slice(0, 16)}.tar`)
  if (existsSync(file)) return file
  const tools = await provider.get(say, scope)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  await using cleanup = new Disposables()
  const temp = mkdtempSync(join(directory, 'new-'))
  cleanup.add(() => rmSync(temp, { recursive: true, force: true, maxRetries: 5 }))
  say(`building a root file system with ${['a minimal Debian', ...wanted].join(', ')} (about a minute)`)
  const apt = new Apt(temp, SUITE, INSTEAD)
  const draft = join(temp, 'root.tar')
  const words = [
    '--variant=minbase',
    '--aptopt=Acquire::Languages "none"',
    `--mode=${process.geteuid?.() === 0 ? 'root' : 'unshare'}`,
    ...(wanted.length === 0 ? [] : [`--include=${wanted.join(',')}`]),
    `--customize-hook=cd "$1" && rm -rf ${LEFT_OUT.join(' ')}`,
    SUITE,
    draft,
    apt.source,
  ]
  await runTool(
    ['perl', tools.mmdebstrap, ...words],
    { doing: 'building a root file system', hint: INSTEAD, env: { TMPDIR: temp, HOME: temp } },
    scope,
  )
  renameSync(draft, file)
  return file
}
