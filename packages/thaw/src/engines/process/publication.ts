/** Ports of the machine that lead into a sandbox with a network of its own. */
import { nativeProgram, startProcess, ThawError, within, type Scope } from '../../system/index.js'
import type { ProcessBranch } from './branch.js'
import { treeOf } from './inspect.js'
import { splitRecords } from './wire.js'

export interface PortPair {
  /** Of the machine; 0: any that is free. */
  port: number
  /** Of the program, on the sandbox's loopback. */
  inner: number
}

export interface Publication extends AsyncDisposable {
  readonly ports: readonly PortPair[]
  /** How many connections are carried now. */
  readonly connections: number
}

/**
 * Carries connections on, until it is disposed or the sandbox's process has ended.
 *
 * @param address of the machine, IPv4
 * @throws ThawError PORT_IN_USE; ENGINE_FAILED
 */
export async function publish(
  branch: ProcessBranch,
  address: string,
  ports: readonly PortPair[],
  user: boolean,
  scope: Scope,
): Promise<Publication> {
  const words = ports.flatMap(({ port, inner }) => [address, String(port), String(inner)])
  const argv = [
    nativeProgram('sandbox'),
    'publish',
    String(process.pid),
    String(branch.root),
    user ? 'user' : 'root',
    ...words,
  ]
  // Its life is its owner's, not that of the request.
  const lasting: Scope = { signal: new AbortController().signal, log: scope.log }
  const child = await startProcess(
    argv,
    { cwd: '/', env: {}, stdio: ['ignore', 'ignore', 'ignore', 'pipe'] },
    lasting,
  )
  const said = new Promise<string[]>((resolve) => {
    const control = child.pipe(3)
    control.on('data', splitRecords(resolve))
    control.on('error', () => {})
    control.once('close', () => resolve(['failed', 'publish', '0']))
  })
  try {
    const [verb, what = '', error] = await within(scope, 'publishing ports', said)
    if (verb !== 'published') throw refusal(what, Number(error))
    const chosen = what.split(' ').map(Number)
    return {
      ports: ports.map(({ inner }, index) => ({ port: chosen[index] ?? 0, inner })),
      // It has one child for each.
      get connections() {
        return treeOf(child.pid).length - 1
      },
      [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
    }
  } catch (error) {
    await child[Symbol.asyncDispose]()
    throw error
  }
}

const EADDRINUSE = 98

function refusal(what: string, error: number): ThawError {
  if (error === EADDRINUSE)
    return new ThawError('PORT_IN_USE', `Port ${what} of this machine is in use by another program.`)
  return new ThawError('ENGINE_FAILED', `The ports could not be published (${what}, error ${error}).`)
}
