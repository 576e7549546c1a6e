import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Versions of CPython whose programs resume. */
export const VERSIONS = ['3.11', '3.12', '3.13', '3.14']

/** An interpreter of a version, past version managers' shims; null when there is none here. */
export function findInterpreter(version: string): string | null {
  return (found ??= look()).get(version) ?? null
}

/**
 * What long tests run under: the usual version and the newest that is here; all of them with THAW_TEST_VERSIONS=all. Those that are
 * left out are skipped with the reason.
 */
export function passedOver(version: string): string | null {
  if (findInterpreter(version) === null) return `no CPython ${version} was found`
  const newest = VERSIONS.findLast((one) => findInterpreter(one) !== null)
  if (version === usualVersion() || version === newest || process.env['THAW_TEST_VERSIONS'] === 'all')
    return null
  return 'the usual and the newest version stand for it; THAW_TEST_VERSIONS=all'
}

/** The version of the python3 that commands find. */
export function usualVersion(): string | null {
  return describe('python3')?.version ?? null
}

let found: Map<string, string> | undefined

function look(): Map<string, string> {
  const interpreters = new Map<string, string>()
  // What scripts/fetch-python.mjs has fetched.
  const fetched = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'thaw-python')
  const candidates = [
    'python3',
    ...VERSIONS.map((version) => `python${version}`),
    ...below(join(process.env['PYENV_ROOT'] ?? join(homedir(), '.pyenv'), 'versions')),
    ...below(join(homedir(), '.local', 'share', 'uv', 'python')),
    ...VERSIONS.map((version) => `/usr/bin/python${version}`),
    ...VERSIONS.map((version) => join(fetched, version, 'usr', 'bin', `python${version}`)),
  ]
  for (const candidate of candidates) {
    const told = describe(candidate)
    if (told !== null && !interpreters.has(told.version)) interpreters.set(told.version, told.executable)
  }
  return interpreters
}

function below(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .toSorted()
    .map((name) => join(directory, name, 'bin', 'python3'))
}

function describe(command: string): { version: string; executable: string } | null {
  const question =
    'import sys; print("%d.%d" % sys.version_info[:2], sys.implementation.name, sys.executable)'
  // A version manager's command for a version that is not chosen ends with an error.
  const asked = spawnSync(command, ['-I', '-S', '-c', question], { encoding: 'utf8' })
  const [version, implementation, executable] = asked.status === 0 ? asked.stdout.trim().split(' ') : []
  if (version === undefined || implementation !== 'cpython' || executable === undefined) return null
  return { version, executable }
}
