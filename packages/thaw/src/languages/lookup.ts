import { accessSync, constants, statSync } from 'node:fs'
import { join, resolve } from 'node:path'

function isProgram(path: string | null): boolean {
  try {
    if (path === null) return false
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/**
 * The file a shell would start for this name; null when there is none.
 *
 * @param real what a path is on this machine
 */
export function findProgram(
  name: string,
  cwd: string,
  env: Record<string, string>,
  real: (path: string) => string | null = (path) => path,
): string | null {
  if (name === '') return null
  if (name.includes('/')) {
    const path = resolve(cwd, name)
    return isProgram(real(path)) ? path : null
  }
  for (const directory of (env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin').split(':')) {
    const path = join(resolve(cwd, directory), name)
    if (isProgram(real(path))) return path
  }
  return null
}
