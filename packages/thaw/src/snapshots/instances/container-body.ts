/** An instance that the Docker engine of a machine runs. */
import type { Readable } from 'node:stream'
import { Container, type ContainerExit } from '../../engines/vm/docker/container.js'
import { inNames } from '../../engines/vm/program.js'
import { startProcess, ThawError, type Scope } from '../../system/index.js'
import type { Beside, BesideSpec, Body } from './body.js'
import type { Living } from './living.js'
import type { MachineBody } from './machine-body.js'

export class ContainerBody implements Body {
  readonly exited: Promise<{ code: number | null; signal: string | null }>
  readonly #machine: MachineBody
  readonly #container: Container

  private constructor(machine: MachineBody, container: Container) {
    this.#machine = machine
    this.#container = container
    this.exited = Promise.race([container.exited.then(named), machine.exited])
  }

  /**
   * Brings the container of an instance up in its machine, with nothing but what is given here: no image is fetched.
   *
   * @param root directory of the container's root file system
   * @throws ThawError ENGINE_MISSING where nobody answers as Docker does, and what Container throws
   */
  static async start(
    machine: MachineBody,
    living: Living,
    root: string,
    scope: Scope,
  ): Promise<ContainerBody> {
    const { image, request, user, environment: env, listener } = living
    const container = new Container(machine.branch.guest)
    await load(container, root, image.imported?.owners ?? true, scope)
    const { memory, cpu, pids } = request.limits ?? image.limits
    const limits = {
      memory: memory ?? image.limits.memory,
      cpu: cpu ?? image.limits.cpu,
      pids: pids ?? image.limits.pids,
    }
    const spec = { argv: image.command, env: { ...env, THAW_INSTANCE: '1' }, cwd: image.cwd, user, limits }
    await container.create(spec, scope)
    for (const { path, content, encoding, mode } of request.files) {
      await container.writeFile(path, once(Buffer.from(content, encoding)), mode)
    }
    await container.start(image.command, listener, scope)
    return new ContainerBody(machine, container)
  }

  get pid(): number {
    return this.#machine.pid
  }

  signal(name: string): Promise<void> {
    return this.#container.signal(name)
  }

  pids(): number[] {
    return this.#machine.pids()
  }

  pausable(): number[] {
    return this.#machine.pausable()
  }

  begun(): Promise<void> {
    return Promise.resolve()
  }

  async start(spec: BesideSpec, scope: Scope): Promise<Beside & { readonly pids: () => number[] }> {
    const user = spec.user === null ? null : `${spec.user.uid}:${spec.user.gid}`
    const program = await this.#container.exec({ ...spec, user }, scope)
    const end = (name: string) => {
      // A machine that has ended has ended its programs.
      program.signal(name).catch(() => {})
    }
    const exited = Promise.race([program.exited.then(named), this.exited])
    return {
      exited,
      pids: () => [],
      writeStdin: (bytes) => program.writeStdin(bytes),
      endStdin: () => program.endStdin(),
      resumeOutput: () => program.resumeOutput(),
      resize: (size) => program.resize(size),
      signal: end,
      [Symbol.asyncDispose]: async () => {
        end('SIGKILL')
        await exited
      },
    }
  }

  publish(...given: Parameters<Body['publish']>): ReturnType<Body['publish']> {
    return this.#machine.publish(...given)
  }

  listens(port: number): Promise<boolean> {
    return this.#machine.listens(port)
  }

  readFile(path: string): ReturnType<Body['readFile']> {
    return this.#container.readFile(path)
  }

  async readText(path: string): Promise<string> {
    try {
      const parts: Buffer[] = []
      for await (const part of (await this.#container.readFile(path)).content) parts.push(part as Buffer)
      return Buffer.concat(parts).toString()
    } catch (error) {
      if (error instanceof ThawError && error.code === 'PATH_REFUSED') return ''
      throw error
    }
  }

  writeFile(path: string, content: AsyncIterable<Uint8Array>, mode: number): Promise<void> {
    return this.#container.writeFile(path, content, mode)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine[Symbol.asyncDispose]()
    await this.exited
  }
}

/** @param owners whether files are to belong to whom they belong here; else to root, as they would without thaw */
async function load(container: Container, root: string, owners: boolean, scope: Scope): Promise<void> {
  const whose = owners ? ['--numeric-owner'] : ['--owner=0', '--group=0', '--numeric-owner']
  const argv = ['tar', '-C', root, ...whose, '-c', '.']
  await using tar = await startProcess(argv, { cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] }, scope)
  let said = ''
  tar.stderr?.on('data', (bytes: Buffer) => (said = (said + bytes.toString()).slice(-500)))
  await container.load(tar.stdout as Readable, scope)
  const { code } = await tar.exited
  if (code !== 0)
    throw new ThawError('IMAGE_BROKEN', `The files of the image could not be read: ${said.trim()}`)
}

const named = (exit: ContainerExit) => inNames(exit)

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}
