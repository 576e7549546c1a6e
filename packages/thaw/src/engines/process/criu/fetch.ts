/** Fetches criu from Debian into a directory of our own; nothing of the system is changed. */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { ThawError, type Scope } from '../../../system/index.js'
import { Apt, ownArchitecture, versionOf } from '../../debian/apt.js'
import { findFetched as find, makeFetched } from '../../debian/fetched.js'
import type { Criu } from './criu.js'

/** The suite with a criu that knows the newest kernels. */
const SUITE = 'sid'
/** What a loader and a program do not need. */
const NOT_NEEDED = ['usr/share', 'etc', 'var']
const RECORD = 'criu.json'
const INSTEAD = 'Install criu 4.2 or later by hand, so that it is on PATH; everything else works without it.'

const Record = z.object({
  version: z.string(),
  parts: z.object({ loader: z.string(), libraries: z.string(), program: z.string() }),
})

export type Fetched = Pick<Criu, 'version' | 'path' | 'parts'>

/** What has been fetched before; the newest. */
export function findFetched(directory: string): Fetched | null {
  const found = find(directory, RECORD, Record)
  if (found === null || !existsSync(join(found.path, found.about.parts.program))) return null
  return { path: found.path, ...found.about }
}

/**
 * Fetches it, unless another process does so at this moment; that one is then waited for.
 *
 * @param directory where versions lie side by side
 * @throws ThawError SETUP_FAILED; nothing half is left behind
 */
export async function fetchCriu(
  directory: string,
  say: (what: string) => void,
  scope: Scope,
): Promise<Fetched> {
  const made = await makeFetched(
    directory,
    RECORD,
    () => findFetched(directory),
    (temp, fresh) => {
      say('fetching criu from Debian (once, about 11 MB of package lists and 9 MB of packages)')
      return unpack(temp, fresh, scope)
    },
    scope,
  )
  if (made === null) throw new ThawError('SETUP_FAILED', `criu was fetched, and is not in ${directory}.`)
  return made
}

async function unpack(
  temp: string,
  fresh: string,
  scope: Scope,
): Promise<{ name: string; about: z.infer<typeof Record> }> {
  const { debian, triplet, loader } = ownArchitecture()
  const apt = new Apt(temp, SUITE, INSTEAD)
  await apt.update(scope)
  const packages = await apt.fetch(['criu'], scope)
  const own = packages.find((file) => /\/criu_[^/]*$/.test(file))
  if (own === undefined) throw new ThawError('SETUP_FAILED', 'The packages hold no criu.')
  const version = versionOf(own)
  await apt.unpack(packages, fresh, scope)
  const libraries = join('usr', 'lib', triplet)
  for (const name of [...NOT_NEEDED, join(libraries, 'gconv')]) {
    rmSync(join(fresh, name), { recursive: true, force: true })
  }
  const parts = { loader: join(libraries, loader), libraries, program: join('usr', 'sbin', 'criu') }
  for (const part of Object.values(parts)) {
    if (!existsSync(join(fresh, part))) throw new ThawError('SETUP_FAILED', `The packages hold no ${part}.`)
  }
  return { name: `${version}-${debian}`, about: { version, parts } }
}
