import { errorLine, ThawError } from '@thaw/protocol/errors'
import { say } from './output.js'
import { run } from './run.js'

async function main(argv: readonly string[]): Promise<number> {
  const [verb, ...rest] = argv
  // The one verb whose start people wait for: nothing but what it needs is loaded.
  if (verb === 'run') return run(rest)
  if (verb === 'watch') {
    const { watch } = await import('./watch/watch.js')
    return watch(rest)
  }
  if (verb === 'repair') {
    const { repair } = await import('./repair/repair.js')
    return repair(rest)
  }
  if (verb === '__complete') {
    const { complete } = await import('./completion/complete.js')
    return complete(rest)
  }
  // What a Python below a launcher becomes (agents/python/launcher).
  if (verb === '__below') {
    const { below } = await import('./below.js')
    return below(rest)
  }
  const { program } = await import('./program.js')
  return program(argv)
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const known = ThawError.from(error)
    say(errorLine(known))
    if (known.code === 'INTERNAL' && process.env['THAW_LOG'] === 'debug') say(String(known.stack))
    process.exit(known.exitCode)
  },
)
