/** Fetches criu into the directory that it is given; says when it begins and where it is. */
import { fetchCriu } from '../../packages/thaw/src/engines/process/criu/fetch.js'
import { openScope, ThawError } from '../../packages/thaw/src/system/index.js'

const say = (what: string) => process.stdout.write(`${what}\n`)
try {
  say(`at ${(await fetchCriu(process.argv[2] ?? '', say, openScope())).path}`)
} catch (error) {
  const { code, message } = ThawError.from(error)
  say(`${code}: ${message}`)
}
