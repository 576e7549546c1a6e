// Libraries that a program needs and the interpreter may not have: kept in virtual environments in the cache directory.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

const MINUTES = 60_000

function lacking(python, names) {
  return names.find((name) => spawnSync(python, ['-c', `import ${name}`], { stdio: 'ignore' }).status !== 0)
}

function cacheDirectory() {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'thaw-exactness')
}

/** A virtual environment of the interpreter with these packages; null, with what pip said, where it cannot be made. */
function withPackages(python, packages, say) {
  const version = spawnSync(python, ['-VV'], { encoding: 'utf8' }).stdout
  const key = createHash('sha1')
    .update(JSON.stringify([python, version, packages]))
    .digest('hex')
  const directory = join(cacheDirectory(), key.slice(0, 16))
  const inside = join(directory, 'bin', 'python')
  const complete = join(directory, 'complete')
  if (existsSync(complete)) return { python: inside, reason: null }
  say(`installing ${packages.join(', ')} (once)`)
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(dirname(directory), { recursive: true })
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check']
  const steps = [
    [python, ['-m', 'venv', directory]],
    [inside, [...pip, '--only-binary', ':all:', ...packages]],
  ]
  for (const [command, args] of steps) {
    const done = spawnSync(command, args, { encoding: 'utf8', timeout: 10 * MINUTES })
    if (done.status !== 0) {
      rmSync(directory, { recursive: true, force: true })
      const last = (done.stderr ?? '').trim().split('\n').at(-1)
      return {
        python: null,
        reason: `${packages.join(', ')} cannot be installed: ${last || done.error?.message}`,
      }
    }
  }
  writeFileSync(complete, '')
  return { python: inside, reason: null }
}

/**
 * The interpreter for a program: the given one where it has what the program needs.
 * @param {import('./programs.mjs').Program} program
 * @param {boolean} fetch whether missing packages may be installed into the cache directory
 * @returns {{python: string|null, reason: string|null}}
 */
export function interpreterFor(program, python, fetch, say) {
  const name = lacking(python, program.needs)
  if (name === undefined) return { python, reason: null }
  if (!fetch || program.packages.length === 0)
    return { python: null, reason: `${python} has no module ${name}` }
  return withPackages(python, program.packages, say)
}
