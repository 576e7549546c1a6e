/** From an image, or a checkpoint, to a program that is ready. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { Readable } from 'node:stream'
import type { Image } from '@thaw/protocol'
import type { StreamsSpec } from '../../engines/engine.js'
import type { ProcessGroup } from '../../engines/process/group.js'
import type { ProcessBranch } from '../../engines/process/branch.js'
import type { ProcessEngine } from '../../engines/process/process.js'
import type { VmEngine } from '../../engines/vm/vm.js'
import { ownAllowance, ThawError, within, type Scope } from '../../system/index.js'
import { findFile } from '../../files/within.js'
import { writeFileOf } from './files.js'
import { SandboxBody, type Body, type Copy } from './body.js'
import { ContainerBody } from './container-body.js'
import { MachineBody } from './machine-body.js'
import { admit, ownOf, type Living } from './living.js'
import type { Held } from './held.js'
import { becomeReady } from './readiness.js'
import { findUser, type User } from './users.js'

/** What an instance is made of. */
export type Source =
  | { kind: 'cold' }
  | { kind: 'warm'; image: Copy }
  /** Restored before, up to its last step. */
  | { kind: 'pool'; held: Held }

/** Instances have nothing on stdin: what is to be typed is typed into an exec. */
const STREAMS: StreamsSpec = { stdin: 'null', joined: false, terminal: null }
/** Seconds in which what was ready when it was copied has to be so again; an emulated machine is slow. */
const READY_AGAIN = { process: 10, vm: 30 } as const
const LARGEST_PASSWD = 4_000_000
/** Of a machine whose image says nothing. Bytes. */
const MACHINE_MEMORY = 512 * 1024 ** 2

export interface Bench {
  engine: ProcessEngine
  machines: VmEngine
  group: ProcessGroup
  rootless: boolean
  /** Directory of an image's root file system. */
  rootOf: (image: Image) => string | null
  /** Disk of an image for machines. */
  diskOf: (image: Image) => string
}

/**
 * Brings the program of an instance up, with its ports, until it is ready; of a container first its machine. On failure
 * what is there is the caller's to end.
 *
 * @throws ThawError NOT_READY and what the engine throws
 */
export async function boot(bench: Bench, living: Living, source: Source, scope: Scope): Promise<void> {
  const restored = source.kind !== 'cold'
  await bringUp(living, () => begin(bench, living, source, scope), restored, scope)
  const { container, body } = living
  if (container === null) return
  const root = bench.rootOf(container)
  if (root === null || !(body instanceof MachineBody)) {
    throw new ThawError('INTERNAL', 'A container has no machine, or no files.')
  }
  living.moveIn()
  const inner: Scope = { ...scope, signal: AbortSignal.any([scope.signal, living.over.signal]) }
  await bringUp(living, () => ContainerBody.start(body, living, root, inner), false, scope)
}

async function bringUp(
  living: Living,
  start: () => Promise<Body>,
  restored: boolean,
  scope: Scope,
): Promise<void> {
  const { image, request, document, over } = living
  const { readiness = null } = { readiness: request.readiness ?? image.readiness }
  const patterns = readiness !== null && 'output' in readiness ? readiness.output : null
  // Before it can print anything.
  const printed = patterns === null ? null : living.printed(patterns)
  const body = await start()
  living.began(body)
  if (over.signal.aborted) throw new ThawError('CANCELLED', 'It was deleted while it started.')
  const ended = body.exited.then(({ code, signal }) => {
    // A machine ends with its container.
    if (living.body !== body) return
    over.abort()
    living.change({ exit: { code, signal } })
    const { lastWords } = living
    // In the words of what becomes the program, within the sandbox.
    if ((code === 126 || code === 127) && lastWords.startsWith(`${image.command[0]}: `)) {
      const refusal = code === 127 ? 'COMMAND_NOT_FOUND' : 'NOT_EXECUTABLE'
      throw new ThawError(refusal, `${document.name} could not be started: ${lastWords}.`)
    }
    throw notReady(living, `ended (${signal ?? `exit code ${code}`})`)
  })
  ended.catch(() => {})
  const inner: Scope = { ...scope, signal: AbortSignal.any([scope.signal, over.signal]) }
  const steps = async () => {
    await body.begun(inner)
    await living.publishPorts(scope)
    const { after_restore: hook } = image
    if (restored && hook !== null && !(await succeeds(living, hook, inner))) {
      throw notReady(living, `was restored, but ${hook.join(' ')} failed in it`)
    }
    await checkReady(living, restored, inner, printed)
  }
  try {
    await within(scope, `starting ${document.name}`, Promise.race([steps(), ended]))
  } catch (error) {
    if (error instanceof ThawError && error.code === 'TIMEOUT' && !over.signal.aborted) {
      throw notReady(
        living,
        `was not ready within ${Math.min(readiness?.timeout ?? 0, restored ? READY_AGAIN[image.engine] : Infinity)} s`,
      )
    }
    throw error
  }
}

/**
 * Waits until it counts as ready.
 *
 * @param restored it was so when it was copied
 * @param printed resolves when it has printed what shows that
 * @throws ThawError TIMEOUT
 */
export async function checkReady(
  living: Living,
  restored: boolean,
  scope: Scope,
  printed: Promise<void> | null = null,
): Promise<void> {
  const { body, image, request } = living
  const readiness = request.readiness ?? image.readiness
  if (readiness === null || body === null) return
  const probed = {
    body,
    printed: () => printed ?? Promise.resolve(),
    succeeds: (command: readonly string[], until: Scope) => succeeds(living, command, until),
    reach: (port: number, use: (port: number) => Promise<boolean>) => living.reach(port, scope, use),
  }
  const due = restored
    ? { ...readiness, timeout: Math.min(READY_AGAIN[image.engine], readiness.timeout) }
    : readiness
  await becomeReady(probed, due, restored, scope)
}

async function begin(bench: Bench, living: Living, source: Source, scope: Scope): Promise<Body> {
  if (source.kind === 'pool') return await source.held.release(living, scope)
  if (living.image.engine === 'vm') return await beginMachine(bench, living, source, scope)
  const { engine, group } = bench
  const { image, request, document } = living
  const { listener, cgroup } = living
  const spec = {
    branch: living.id,
    streams: STREAMS,
    listener,
    hostname: document.name,
    admit: (pid: number) => admit(cgroup, pid),
  }
  const bodyOf = (branch: ProcessBranch) => new SandboxBody(branch, ownOf(image), bench.rootless)
  if (source.kind === 'warm') return bodyOf(await engine.restore(group, source.image, spec, scope))
  const root = bench.rootOf(image)
  if (root === null && !existsSync(image.cwd)) {
    throw new ThawError('DIRECTORY_GONE', `${image.cwd}, in which ${image.name} runs, does not exist.`)
  }
  const user = bench.rootless || living.user === null ? null : userOf(living.user, root)
  const home = user?.home ?? (root === null ? (process.env['HOME'] ?? null) : '/root')
  const path = process.env['PATH'] ?? ''
  const branch = await engine.launch(
    group,
    {
      ...spec,
      argv: image.command,
      env: {
        ...(root === null ? { PATH: path } : {}),
        ...(home === null ? {} : { HOME: home }),
        ...living.environment,
        // agents/python/thaw goes by it.
        THAW_INSTANCE: '1',
      },
      cwd: image.cwd,
      umask: 0o022,
      allowance: ownAllowance(),
      network: document.network,
      root,
      layered: true,
      user,
      prepare: async (initPid) => {
        for (const { path: to, content, encoding, mode } of request.files) {
          await writeFileOf(
            { pid: initPid, own: ownOf(image) },
            to,
            Readable.from([Buffer.from(content, encoding)]),
            mode,
          )
        }
      },
    },
    scope,
  )
  return bodyOf(branch)
}

async function beginMachine(bench: Bench, living: Living, source: Source, scope: Scope): Promise<Body> {
  const { machines, group } = bench
  const { image, request, document, listener, cgroup } = living
  const hostname = document.name
  const enter = (pid: number) => admit(cgroup, pid)
  if (source.kind === 'warm') {
    return MachineBody.of(
      await machines.restore(group, source.image, { hostname, listener, admit: enter }, scope),
    )
  }
  if (document.network === 'host') {
    throw new ThawError('UNSUPPORTED', 'A machine cannot have the network of this one.', {
      hint: 'Give it `private`, or `private+out` for a way out; ports are published either way.',
    })
  }
  const { memory, cpu } = document.limits
  const shape = {
    memory: Math.ceil((memory ?? MACHINE_MEMORY) / 1024 ** 2) * 1024 ** 2,
    cpus: Math.max(1, Math.ceil(cpu ?? 1)),
    network: document.network === 'private' ? ('none' as const) : ('user' as const),
  }
  const branch = await machines.launch(
    group,
    { disk: bench.diskOf(image), shape, hostname, admit: enter },
    scope,
  )
  try {
    for (const { path, content, encoding, mode } of request.files) {
      await branch.guest.writeFile(path, Readable.from([Buffer.from(content, encoding)]), mode, scope)
    }
    const user = living.user === null ? null : userOf(living.user, bench.rootOf(image))
    const env = { HOME: user?.home ?? '/root', ...living.environment, THAW_INSTANCE: '1' }
    const spec = { argv: image.command, env, cwd: image.cwd, user, streams: STREAMS, listener }
    return await MachineBody.start(branch, spec, scope)
  } catch (error) {
    await branch[Symbol.asyncDispose]()
    throw error
  }
}

async function succeeds(living: Living, command: readonly string[], scope: Scope): Promise<boolean> {
  const listener = { output: () => true }
  const entered = await living.exec(
    { command, env: {}, cwd: null, user: null, streams: STREAMS, listener },
    scope,
  )
  try {
    const exit = await within(scope, `running ${command[0]}`, entered.exited)
    return exit.code === 0
  } finally {
    await entered[Symbol.asyncDispose]()
  }
}

/** Runs a command in one. @throws ThawError NOT_READY when that does not end with 0 */
export async function runIn(living: Living, command: readonly string[], scope: Scope): Promise<void> {
  let said = ''
  const listener = {
    output(_stream: 'stdout' | 'stderr', bytes: Buffer) {
      said = (said + bytes.toString()).slice(-500)
      return true
    },
  }
  const streams = { ...STREAMS, joined: true }
  const entered = await living.exec({ command, env: {}, cwd: null, user: null, streams, listener }, scope)
  try {
    const { code, signal } = await within(scope, `running ${command[0]}`, entered.exited)
    if (code === 0) return
    const ended = `${command.join(' ')} ended with ${signal ?? code}`
    throw new ThawError('NOT_READY', `${ended}${said.trim() === '' ? '' : `: ${said.trim()}`}.`)
  } finally {
    await entered[Symbol.asyncDispose]()
  }
}

function userOf(given: string, root: string | null): User {
  const text = (name: string) => {
    const file = root === null ? `/${name}` : findFile(root, name)
    if (file === null || !existsSync(file) || statSync(file).size > LARGEST_PASSWD) return ''
    return readFileSync(file, 'utf8')
  }
  return findUser(given, text('etc/passwd'), text('etc/group'))
}

function notReady(living: Living, what: string): ThawError {
  const { name, id } = living.document
  const last = living.lastWords
  const said =
    last === '' ? 'It printed nothing.' : `It printed last: ${last.split('\n').slice(-5).join(' | ')}`
  return new ThawError('NOT_READY', `${name} ${what}. ${said.replace(/[.]?$/, '.')}`, {
    details: { instance: id },
  })
}
