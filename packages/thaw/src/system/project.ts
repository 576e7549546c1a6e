import { existsSync, realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

const MARKERS = ['.git', 'pyproject.toml', 'setup.py', 'setup.cfg', 'thaw.toml']

function sameDirectory(a: string, b: string): boolean {
  if (a === b) return true
  try {
    return realpathSync(a) === realpathSync(b)
  } catch {
    return false
  }
}

function isInside(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`)
}

/**
 * The directory whose files are the user's own: the nearest one upwards that has a project's marker; else the
 * script's, when it lies outside the current directory; else the current one. Never / and never a home directory,
 * which would make everything below it the project.
 */
export function findProject(cwd: string, script: string | null, home: string = homedir()): string {
  const tooWide = (directory: string) => directory === '/' || sameDirectory(directory, home)
  for (let directory = cwd; !tooWide(directory); directory = dirname(directory)) {
    if (MARKERS.some((marker) => existsSync(join(directory, marker)))) return directory
  }
  const scriptDirectory = script === null ? null : dirname(script)
  if (scriptDirectory !== null && !isInside(scriptDirectory, cwd)) return scriptDirectory
  return tooWide(cwd) && scriptDirectory !== null ? scriptDirectory : cwd
}
