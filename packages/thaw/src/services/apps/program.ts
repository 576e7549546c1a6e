/** The processes of an app, and the port at which they are reached. */
import type { AppSource } from '@thaw/protocol'
import type { OutputListener } from '../../engines/engine.js'
import type { ProcessImage } from '../../engines/process/image.js'
import { findProgram } from '../../languages/index.js'
import { becomeReady } from '../../snapshots/instances/readiness.js'
import type { AppRow } from '../../store/index.js'
import { ThawError, withTimeout, type Scope } from '../../system/index.js'
import { startTree, thawTree, type Door, type Site, type Tree } from '../tree.js'

export interface ProgramSpec {
  /** Of the branch; not in use by another. */
  id: string
  request: AppRow['request']
  listener: OutputListener
}

export class Program implements AsyncDisposable {
  readonly tree: Tree
  readonly #door: Door
  /** Requests that it serves. */
  running = 0

  private constructor(tree: Tree, door: Door) {
    this.tree = tree
    this.#door = door
  }

  /** Of this machine. */
  get port(): number {
    return this.#door.port
  }

  /**
   * Starts it, and waits until it is ready.
   *
   * @throws ThawError COMMAND_NOT_FOUND, DIRECTORY_GONE, NOT_EXECUTABLE, PORT_IN_USE, SERVICE_FAILED, TIMEOUT
   */
  static async start(
    site: Site,
    engine: 'process' | 'plain',
    { id, request, listener }: ProgramSpec,
    scope: Scope,
  ): Promise<Program> {
    const { app, compute } = request
    const env = environmentOf(request)
    const [word = '', ...rest] = app.command
    const program = findProgram(word, app.cwd, env)
    if (program === null) throw new ThawError('COMMAND_NOT_FOUND', `There is no ${word}.`)
    const bounded = withTimeout(scope, compute.launch_timeout * 1000)
    const { cwd, network } = app
    const argv = [program, ...rest]
    const spec = { id, argv, env, cwd, listener, stdin: 'null', network } as const
    return await Program.#open(await startTree(site, engine, spec, bounded), request, bounded)
  }

  /** @throws ThawError what the engine refuses; SERVICE_FAILED, TIMEOUT */
  static async thaw(
    site: Site,
    image: ProcessImage,
    { id, request, listener }: ProgramSpec,
    scope: Scope,
  ): Promise<Program> {
    const bounded = withTimeout(scope, request.compute.launch_timeout * 1000)
    const tree = await thawTree(site, image, { id, listener, stdin: 'null' }, bounded)
    return await Program.#open(tree, request, bounded)
  }

  /** Waits until it serves nothing, or so long. Milliseconds. */
  async quiet(milliseconds: number): Promise<boolean> {
    const end = performance.now() + milliseconds
    while (this.running > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 2))
    return this.running === 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#door[Symbol.asyncDispose]()
    await this.tree[Symbol.asyncDispose]()
  }

  static async #open(tree: Tree, { app, compute }: AppRow['request'], scope: Scope): Promise<Program> {
    let door: Door | null = null
    try {
      door = await tree.open(app.port, scope)
      await becomeReachable(tree, door, app, compute.launch_timeout, scope)
      return new Program(tree, door)
    } catch (error) {
      await door?.[Symbol.asyncDispose]()
      await tree[Symbol.asyncDispose]()
      throw error
    }
  }
}

async function becomeReachable(
  tree: Tree,
  door: Door,
  { port, ready }: AppSource,
  timeout: number,
  scope: Scope,
): Promise<void> {
  const over = new AbortController()
  const inner = { ...scope, signal: AbortSignal.any([scope.signal, over.signal]) }
  const ended = tree.exited.then(() => {
    over.abort()
    throw new ThawError('SERVICE_FAILED', 'It ended before it was ready.')
  })
  const probed = {
    body: { listens: () => Promise.resolve(door.isOpen()) },
    printed: () => Promise.resolve(),
    succeeds: () => Promise.resolve(true),
    reach: (_port: number, use: (port: number) => Promise<boolean>) => use(door.port),
  }
  const steps = async () => {
    await becomeReady(probed, { port, timeout }, false, inner)
    if (ready === null) return
    await becomeReady(probed, { http: { port, path: ready, status: null }, timeout }, false, inner)
  }
  const done = steps()
  done.catch(() => {})
  await Promise.race([done, ended])
}

/** The whole environment of an app. */
export function environmentOf({ app, compute }: AppRow['request']): Record<string, string> {
  const path = { PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin' }
  const home = process.env['HOME'] === undefined ? {} : { HOME: process.env['HOME'] }
  return { ...path, ...home, ...compute.env, PORT: String(app.port) }
}
