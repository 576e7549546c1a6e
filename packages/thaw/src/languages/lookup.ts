import { accessSync, constants, statSync } from 'node:fs'
import { join, resolve } from 'node:path'

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** The file a shell would start for this name; null when there is none. */
export function findProgram(name: string, cwd: string, env: Record<string, string>): string | null {
  if (name === '') return null
  if (name.includes('/')) {
    const path = resolve(cwd, name)
    return isProgram(path) ? path : null
  }
  for (const directory of (env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin').split(':')) {
    const path = join(resolve(cwd, directory), name)
    if (isProgram(path)) return path
  }
  return null
}
