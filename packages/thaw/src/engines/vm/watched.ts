/** Programs with the agent in them in machines: the agent speaks over the machine's channel, and the machine is what is copied. */
import { connect } from 'node:net'
import type { SandboxOrder } from '@thaw/protocol/agent'
import { openScope, ThawError, within, type Scope } from '../../system/index.js'
import { readSignatureOf } from '../../files/signature.js'
import type { BaseSpec, BranchListener, RestoreSpec } from '../engine.js'
import { ASK, ASK_NUMBER, catchesAsk } from '../fork/agents.js'
import type { Family } from '../fork/family.js'
import { ORDER, WatchedBranch } from '../watched-branch.js'
import type { Carried } from './carried.js'
import type { Guest } from './guest/guest.js'
import type { VmImage } from './image.js'
import { MachineBranch, startProgram } from './program.js'
import type { VmBranch, VmEngine, VmGroup } from './vm.js'

/** How long an agent may take to report: an interpreter starts slowly where processors are emulated. Milliseconds. */
const REPORT_WITHIN = 120_000
const HOSTNAME = 'thaw'

interface Site {
  group: VmGroup
  family: Family
  carried: Carried
  /** Directory whose files are the same here and there. */
  project: string
}

type Begins = Pick<RestoreSpec, 'branch' | 'streams' | 'listener' | 'stops' | 'diagnose'>

export class WatchedMachines {
  readonly #engine: VmEngine

  constructor(engine: VmEngine) {
    this.#engine = engine
  }

  /** From the start, in a copy of a machine that has booted. On failure nothing is left. */
  async launch(site: Site, base: VmImage, spec: BaseSpec & Begins, scope: Scope): Promise<WatchedBranch> {
    const { family, carried } = site
    const { branch, streams, listener, stops, diagnose, cwd } = spec
    const { path } = await family.host.ask({ do: 'stub', python: spec.python })
    const setup = {
      socket: family.agents.path,
      cache: family.cache,
      ...spec.setup,
      branch,
      stops,
      diagnose,
      alone: true,
      // A copy of a machine takes seconds: it is made where somebody wants one.
      factor: 1e6,
    }
    const env = { ...spec.env, THAW_AGENT: JSON.stringify(setup) }
    const argv = spec.argv(path)
    const machine = await this.#engine.restore(site.group, base, { hostname: HOSTNAME, listener }, scope)
    try {
      await carried.into(machine.guest, scope)
      await meet(machine.guest, family.agents.path, scope)
      const { terminal, joined } = streams
      const { umask, allowance } = spec
      const started = { argv, env, cwd, user: null, terminal, joined, umask, allowance }
      machine.program = await startProgram(machine, started, listener, scope)
      return await this.#watched(site, machine, spec, false, scope)
    } catch (error) {
      await machine[Symbol.asyncDispose]()
      throw error
    }
  }

  /** @throws RestoreRefused; ThawError as VmEngine.restore; the image is as it was */
  async restore(
    site: Site,
    image: VmImage,
    spec: Begins & Pick<RestoreSpec, 'env' | 'files' | 'number'>,
    scope: Scope,
  ): Promise<WatchedBranch> {
    const { family, carried } = site
    const { branch, listener, env, files, stops, number, diagnose } = spec
    const order: SandboxOrder = {
      t: 'restore',
      socket: family.agents.path,
      branch,
      env,
      files,
      stops: [...stops],
      number,
      diagnose,
    }
    const held = await this.#engine.hold(site.group, image, { listener }, scope)
    const machine = await held.release(HOSTNAME, scope, async (guest) => {
      await carried.into(guest, scope)
      await meet(guest, order.socket, scope)
      await leave(guest, order, scope)
    })
    try {
      return await this.#watched(site, machine, spec, true, scope)
    } catch (error) {
      await machine[Symbol.asyncDispose]()
      throw error
    }
  }

  #watched(
    { group, family, carried, project }: Site,
    machine: VmBranch,
    { branch, streams, listener }: Begins,
    restored: boolean,
    scope: Scope,
  ): Promise<WatchedBranch> {
    const { guest, program } = machine
    if (program === null) throw new ThawError('INTERNAL', 'A machine has no program.')
    // A checkpoint does not end with the request that started its program.
    const lasting = openScope(scope.log)
    const inner = new MachineBranch(branch, machine, program, carried)
    if (streams.stdin === 'null' && streams.terminal === null) inner.endStdin()
    return WatchedBranch.open(
      {
        inner,
        copy: async ({ stop, cut, goesOn }) => {
          const image = await inner.copy(this.#engine, group, { stop, cut }, lasting)
          goesOn()
          return image
        },
        leave: async (order) => {
          await meet(guest, family.agents.path, lasting)
          await leave(guest, order, lasting)
        },
        ask: () => ask(guest, program.pid, lasting),
      },
      family,
      asHere(listener, project),
      restored,
      REPORT_WITHIN,
    )
  }
}

/** The next connection in the machine to a socket of that path becomes one to the socket of the same path here. */
async function meet(guest: Guest, path: string, scope: Scope): Promise<void> {
  const socket = connect(path)
  socket.on('error', () => {})
  let ready!: () => void
  const listening = new Promise<void>((resolve) => (ready = resolve))
  let first = true
  const program = await guest.builtin(
    ['meet', path],
    {
      output: (stream, bytes) => {
        if (stream === 'stderr') return true
        // Its first byte says that it listens.
        const said = first ? bytes.subarray(1) : bytes
        first = false
        ready()
        if (said.length > 0) socket.write(Buffer.from(said))
        return true
      },
    },
    scope,
  )
  void program.exited.then(() => {
    ready()
    socket.end()
  })
  socket.on('data', (bytes: Buffer) => void program.writeStdin(bytes))
  socket.once('close', () => program.endStdin())
  await listening
}

/** As `ask` of the process engine. A signal of the guest program's own would go to a whole process group. */
async function ask(guest: Guest, pid: number, scope: Scope): Promise<string | null> {
  if (!catchesAsk(await guest.readText(`/proc/${pid}/status`, scope)))
    return `The program uses ${ASK} for itself.`
  const spec = { env: {}, cwd: '/', user: null, terminal: null, joined: true }
  const argv = ['/bin/sh', '-c', `kill -${ASK_NUMBER} ${pid}`]
  const sent = await guest.start({ ...spec, argv }, { output: () => true }, scope)
  sent.endStdin()
  const { code } = await within(scope, 'asking a program in a machine', sent.exited)
  return code === 0 ? null : `The program could not be sent ${ASK}.`
}

async function leave(guest: Guest, order: SandboxOrder, scope: Scope): Promise<void> {
  await guest.writeFile(ORDER, once(JSON.stringify(order)), 0o600, scope)
}

/** What an agent in a machine says of files, in terms of this one. */
function asHere(listener: BranchListener, project: string): BranchListener {
  return {
    output: (stream, bytes) => listener.output(stream, bytes),
    events: (list) => {
      listener.events(
        list.map((event) => {
          if (event[1] !== 'read' || event[3] === null || !event[2].startsWith(`${project}/`)) return event
          // Carried with its size and time; the number of its inode is the machine's own.
          const here = readSignatureOf(event[2])
          const same = here !== null && here[0] === event[3][0] && here[1] === event[3][1]
          return same ? [event[0], event[1], event[2], here] : event
        }),
      )
    },
    // Where the content before lies is in the machine.
    write: (path, seq, pre, mode) =>
      listener.write(path, seq, typeof pre === 'string' && pre !== 'dir' ? { other: true } : pre, mode),
    cut: (stdin) => listener.cut(stdin),
    checkpoint: (image, message) => listener.checkpoint(image, message),
    refused: (why, asked, sandbox) => listener.refused(why, asked, sandbox),
    end: (seq, work) => listener.end(seq, work),
    failure: (message) => listener.failure?.(message),
    fault: (line) => listener.fault?.(line),
  }
}

async function* once(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}
