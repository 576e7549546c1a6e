/** What a program of a run finds in its machine where no image is named: a small Debian with Python and Node. */
import { existsSync, mkdtempSync, renameSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { RootFiles } from '@thaw/protocol'
import type { VmEngine } from '../../engines/vm/vm.js'
import { removeTree, type Scope } from '../../system/index.js'
import { importRoot } from './import.js'

const PACKAGES = ['python3', 'nodejs']

/**
 * Made once, and kept beside its archive in thaw's cache; nobody changes it.
 *
 * @param directory of what is made for machines
 * @throws ThawError SETUP_FAILED, DISK_FULL, ENGINE_MISSING; nothing half is left behind
 */
export async function machineRoot(engine: VmEngine, directory: string, scope: Scope): Promise<RootFiles> {
  const archive = await engine.makeRoot(PACKAGES, scope)
  const key = basename(archive, '.tar')
  const root = join(dirname(archive), `${key}.root`)
  if (existsSync(root)) return { directory: root, key }
  const draft = mkdtempSync(join(directory, 'root-'))
  try {
    await importRoot(archive, null, draft, scope)
    renameSync(join(draft, 'rootfs'), root)
  } catch (error) {
    // Another daemon was faster.
    if (!existsSync(root)) throw error
  } finally {
    removeTree(draft)
  }
  return { directory: root, key }
}
