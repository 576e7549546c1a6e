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
  /** From now on connections are accepted. Once. @throws ThawError PORT_IN_USE; ENGINE_FAILED */
  open(scope: Scope): Promise<void>
}

/**
 * Carries connections on, until it is disposed.
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
  const made = await takePorts(branch.parts.sandbox.initPid, address, ports, user, scope)
  try {
    await made.open(scope)
    return made
  } catch (error) {
    await made[Symbol.asyncDispose]()
    throw error
  }
}

/**
 * Takes ports of the machine, for a sandbox whose program need not run yet. Until they are opened, whoever connects is
 * refused.
 *
 * @param initPid of the sandbox
 * @throws ThawError PORT_IN_USE; ENGINE_FAILED
 */
export async function takePorts(
  initPid: number,
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
    String(initPid),
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
  const control = child.pipe(3)
  let hear: (words: string[]) => void = () => {}
  control.on(
    'data',
    splitRecords((words) => hear(words)),
  )
  control.on('error', () => {})
  const closed = new Promise<string[]>((resolve) =>
    control.once('close', () => resolve(['failed', 'publish', '0'])),
  )
  const answer = async (wanted: string, scope: Scope): Promise<string> => {
    const said = new Promise<string[]>((resolve) => (hear = resolve))
    const [verb, what = '', error] = await within(scope, 'publishing ports', Promise.race([said, closed]))
    if (verb !== wanted) throw refusal(what, Number(error))
    return what
  }
  try {
    const chosen = (await answer('taken', scope)).split(' ').map(Number)
    return {
      ports: ports.map(({ inner }, index) => ({ port: chosen[index] ?? 0, inner })),
      async open(scope) {
        const opened = answer('published', scope)
        control.write('g')
        await opened
      },
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
