import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ThawError } from './error.js'

/** Root of the package `thaw`: the first directory above this file that holds its bin. */
export function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    if (existsSync(join(directory, 'bin', 'thaw.js')) && existsSync(join(directory, 'package.json')))
      return directory
    const parent = dirname(directory)
    if (parent === directory) throw new ThawError('INTERNAL', 'The thaw package has lost its own files.')
    directory = parent
  }
}

/**
 * The directory `agents`: in a clone the one at its root, in an installed package the copy made when it was packed.
 * The clone's comes first, so that a copy left behind by an interrupted pack is never used.
 */
export function agentsDirectory(): string {
  const root = packageRoot()
  for (const candidate of [join(root, '..', '..', 'agents'), join(root, 'agents')]) {
    if (existsSync(join(candidate, 'python', 'thaw_agent'))) return candidate
  }
  throw new ThawError('INTERNAL', `The agents are missing beside ${root}.`, { hint: 'Install thaw again.' })
}

/** The program of the daemon, as built. */
export function daemonProgram(): string {
  return join(packageRoot(), 'dist', 'daemon.js')
}

/** The program of the thread that packs images (packer.ts), as built. */
export function packerProgram(): string {
  return join(packageRoot(), 'dist', 'packer.js')
}

/**
 * A program of ours that is not JavaScript, for this machine's architecture.
 *
 * @throws ThawError UNSUPPORTED where there is none
 */
export function nativeProgram(name: string): string {
  const file = join(packageRoot(), 'native', process.arch, name)
  if (existsSync(file)) return file
  throw new ThawError('UNSUPPORTED', `thaw has no ${name} for ${process.arch} processors.`, {
    hint: 'Use the fork engine, or build it with `npm run native`.',
  })
}
