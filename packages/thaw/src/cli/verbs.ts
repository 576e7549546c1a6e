import { errorLine, ThawError } from '@thaw/protocol/errors'
import { say } from './output.js'
import { run } from './run.js'

/** A command of the command line, from its words to its exit code. Errors have been told. */
export async function carryOut(argv: readonly string[]): Promise<number> {
  try {
    return await verb(argv)
  } catch (error) {
    const known = ThawError.from(error)
    say(errorLine(known))
    if (known.code === 'INTERNAL' && process.env['THAW_LOG'] === 'debug') say(String(known.stack))
    return known.exitCode
  }
}

async function verb([name, ...rest]: readonly string[]): Promise<number> {
  // The one verb whose start people wait for: nothing but what it needs is loaded.
  if (name === 'run') return run(rest)
  if (name === 'watch') {
    const { watch } = await import('./watch/watch.js')
    return watch(rest)
  }
  if (name === 'repair') {
    const { repair } = await import('./repair/repair.js')
    return repair(rest)
  }
  if (name === '__complete') {
    const { complete } = await import('./completion/complete.js')
    return complete(rest)
  }
  // What a Python below a launcher becomes (agents/python/launcher).
  if (name === '__below') {
    const { below } = await import('./below.js')
    return below(rest)
  }
  const { program } = await import('./program.js')
  return program(name === undefined ? [] : [name, ...rest])
}
