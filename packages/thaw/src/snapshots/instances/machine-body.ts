/** An instance with a machine of its own. */
import { createServer, type Server, type Socket } from 'node:net'
import { constants } from 'node:os'
import { Readable } from 'node:stream'
import type { PortPair, Publication } from '../../engines/process/publication.js'
import { GuestRefused, type GuestProgram } from '../../engines/vm/guest/guest.js'
import { endOf, inNames, startProgram } from '../../engines/vm/program.js'
import type { VmBranch } from '../../engines/vm/vm.js'
import { openScope, ThawError, withTimeout, type Scope } from '../../system/index.js'
import type { Beside, BesideSpec, Body, BodyExit } from './body.js'

/** Between two looks whether a port answers. Milliseconds. */
const LOOK_EVERY = 100
/** How long a question to the machine may take. Milliseconds. */
const ANSWER_WITHIN = 60_000
const ENOENT = 2
const ENOSPC = 28

export class MachineBody implements Body {
  readonly branch: VmBranch
  readonly exited: Promise<BodyExit>
  readonly #program: GuestProgram

  private constructor(branch: VmBranch, program: GuestProgram) {
    this.branch = branch
    this.#program = program
    // It has nothing to read.
    program.endStdin()
    // A machine is there for one program, and goes with it.
    this.exited = program.exited.then(async (exit) => {
      const why = branch.guest.lost ? `its machine ended: ${await endOf(branch.machine)}` : null
      await branch[Symbol.asyncDispose]()
      return why === null ? inNames(exit) : { code: null, signal: null, why }
    })
  }

  /** @throws ThawError COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE; the machine is the caller's to end */
  static async start(branch: VmBranch, spec: Omit<BesideSpec, 'admit'>, scope: Scope): Promise<MachineBody> {
    branch.program = await startIn(branch, spec, scope)
    return new MachineBody(branch, branch.program)
  }

  /** Of a copy. @throws ThawError IMAGE_BROKEN where it is not there for a program */
  static of(branch: VmBranch): MachineBody {
    if (branch.program === null) throw new ThawError('IMAGE_BROKEN', 'The copy says no program.')
    return new MachineBody(branch, branch.program)
  }

  get pid(): number {
    return this.branch.machine.pid
  }

  signal(name: string): Promise<void> {
    this.#program.signal(numberOf(name))
    return Promise.resolve()
  }

  pids(): number[] {
    return [this.pid]
  }

  pausable(): number[] {
    return [this.pid]
  }

  begun(): Promise<void> {
    return Promise.resolve()
  }

  async start(spec: BesideSpec, scope: Scope): Promise<Beside & { readonly pids: () => number[] }> {
    const program = await startIn(this.branch, spec, scope)
    if (spec.streams.stdin === 'null') program.endStdin()
    const exited = program.exited.then(inNames)
    return {
      exited,
      pids: () => [],
      writeStdin: (bytes) => program.writeStdin(bytes),
      endStdin: () => program.endStdin(),
      resumeOutput: () => program.resumeOutput(),
      resize: (size) => program.resize(size),
      signal: (name) => program.signal(numberOf(name)),
      [Symbol.asyncDispose]: async () => {
        program.signal(numberOf('SIGKILL'))
        await exited
      },
    }
  }

  async publish(address: string, ports: readonly PortPair[], scope: Scope): Promise<Publication> {
    const open = new Set<Socket>()
    const servers: Server[] = []
    const close = async () => {
      for (const socket of open) socket.destroy()
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
    }
    try {
      const made: PortPair[] = []
      for (const { port, inner } of ports) {
        const server = createServer({ allowHalfOpen: true }, (socket) => this.#carry(socket, inner, open))
        servers.push(server)
        made.push({ port: await listen(server, address, port), inner })
      }
      return {
        ports: made,
        get connections() {
          return open.size
        },
        open: () => Promise.resolve(),
        [Symbol.asyncDispose]: close,
      }
    } catch (error) {
      scope.log.info('Ports of a machine were not published.', { error })
      await close()
      throw error
    }
  }

  async listens(port: number): Promise<boolean> {
    try {
      const connection = await this.branch.guest.connect(port, bounded())
      connection.destroy()
      return true
    } catch (error) {
      if (!(error instanceof GuestRefused)) throw error
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY))
      return false
    }
  }

  async readFile(path: string): Promise<{ content: Readable; size: number; mode: number }> {
    try {
      const { content, size, mode } = await this.branch.guest.readFile(path, bounded())
      return { content: Readable.from(content), size, mode }
    } catch (error) {
      throw asRefusal(path, error)
    }
  }

  async readText(path: string): Promise<string> {
    try {
      return await this.branch.guest.readText(path, bounded())
    } catch (error) {
      if (error instanceof GuestRefused) return ''
      throw error
    }
  }

  async writeFile(path: string, content: AsyncIterable<Uint8Array>, mode: number): Promise<void> {
    try {
      await this.branch.guest.writeFile(path, content, mode, openScope())
    } catch (error) {
      throw asRefusal(path, error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.branch[Symbol.asyncDispose]()
    await this.exited
  }

  #carry(socket: Socket, inner: number, open: Set<Socket>): void {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.on('error', () => {})
    void this.branch.guest
      .connect(inner, bounded())
      .then((inside) => {
        inside.on('error', () => socket.destroy())
        inside.once('close', () => socket.destroy())
        socket.once('close', () => inside.destroy())
        socket.pipe(inside)
        inside.pipe(socket)
      })
      // As where nobody listens.
      .catch(() => socket.resetAndDestroy())
  }
}

function startIn(
  branch: VmBranch,
  { argv, env, cwd, user, streams, listener }: Omit<BesideSpec, 'admit'>,
  scope: Scope,
): Promise<GuestProgram> {
  const { terminal, joined } = streams
  return startProgram(branch, { argv, env, cwd, user, terminal, joined }, listener, scope)
}

function asRefusal(path: string, error: unknown): unknown {
  if (!(error instanceof GuestRefused)) return error
  if (error.errno === ENOSPC) {
    return new ThawError('DISK_FULL', `${path} could not be written: the machine’s disk is full.`, {
      cause: error,
    })
  }
  const why = error.errno === ENOENT ? 'does not exist' : `cannot be used (error ${error.errno})`
  return new ThawError('PATH_REFUSED', `${path} ${why}.`, { cause: error })
}

function listen(server: Server, address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const used = error.code === 'EADDRINUSE'
      reject(
        used
          ? new ThawError('PORT_IN_USE', `Port ${port} of this machine is in use by another program.`)
          : new ThawError('ENGINE_FAILED', `Port ${port} could not be published (${error.code}).`),
      )
    })
    server.listen(port, address, () => {
      const found = server.address()
      resolve(typeof found === 'object' && found !== null ? found.port : port)
    })
  })
}

function bounded(): Scope {
  return withTimeout(openScope(), ANSWER_WITHIN)
}

function numberOf(name: string): number {
  return constants.signals[name as NodeJS.Signals] ?? constants.signals.SIGTERM
}
