/** A program in a sandbox with the agent in it: the agent asks, and the whole tree is copied from outside. */
import { renameSync, writeFileSync } from 'node:fs'
import type { SandboxOrder } from '@thaw/protocol/agent'
import { openScope, type Scope } from '../../system/index.js'
import type { BaseSpec, BranchListener, RestoreSpec } from '../engine.js'
import { ASK, ASK_NUMBER, canBeAsked } from '../fork/agents.js'
import type { Family } from '../fork/family.js'
import type { ProcessBranch } from './branch.js'
import type { ProcessGroup } from './group.js'
import type { ProcessImage } from './image.js'
import type { Tcp } from './inspect.js'
import type { ProcessEngine } from './process.js'
import type { ProcessCheckpoint, ProcessLaunch } from './specs.js'
import type { Network, Sandbox } from './sandbox.js'
import { ORDER, WatchedBranch, type WatchedProgram } from '../watched-branch.js'

/** What a program is started with, and where its agent reports. */
export interface Site {
  group: ProcessGroup
  family: Family
}

export type WatchedLaunch = BaseSpec &
  Pick<RestoreSpec, 'branch' | 'streams' | 'listener' | 'stops' | 'diagnose'> & {
    network: Network
    tcp: Tcp
  } & Pick<ProcessLaunch, 'root' | 'layered' | 'seen'>

export type WatchedRestore = Omit<RestoreSpec, 'view'> & { view: 'shared' | 'private' } & Pick<
    ProcessLaunch,
    'seen'
  >

export class WatchedEngine {
  readonly #engine: ProcessEngine

  constructor(engine: ProcessEngine) {
    this.#engine = engine
  }

  /** From the start. On failure nothing is left. @throws ThawError as ProcessEngine.launch, ENGINE_FAILED */
  async launch({ group, family }: Site, spec: WatchedLaunch, scope: Scope): Promise<WatchedBranch> {
    const { branch, streams, listener, cwd, umask, network, stops, diagnose } = spec
    const { root = null, layered = false, seen = [] } = spec
    const { path } = await family.host.ask({ do: 'stub', python: spec.python })
    const setup = {
      socket: family.agents.path,
      cache: family.cache,
      ...spec.setup,
      branch,
      stops,
      diagnose,
      alone: network !== 'host',
    }
    const env = { ...spec.env, THAW_AGENT: JSON.stringify(setup) }
    const argv = spec.argv(path)
    const inner = await this.#engine.launch(
      group,
      {
        branch,
        argv,
        env,
        cwd,
        umask,
        allowance: spec.allowance,
        streams,
        listener,
        network,
        ownTemporary: false,
        accounted: true,
        root,
        layered,
        seen,
      },
      scope,
    )
    return await this.#watched({ group, family }, inner, listener, spec.tcp, false, scope)
  }

  /** @throws RestoreRefused, ThawError as ProcessEngine.restore; the image is as it was */
  async restore(
    { group, family }: Site,
    image: ProcessImage,
    spec: WatchedRestore,
    scope: Scope,
  ): Promise<WatchedBranch> {
    const { branch, streams, listener, view, env, files, stops, number, diagnose, seen = [] } = spec
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
    const furnished = (sandbox: Sandbox) => leave(sandbox, order)
    const inner = await this.#engine.restore(
      group,
      image,
      { branch, streams, listener, view, furnished, unread: false, accounted: true, seen },
      scope,
    )
    return await this.#watched({ group, family }, inner, listener, image.manifest.tcp, true, scope)
  }

  async #watched(
    { group, family }: Site,
    inner: ProcessBranch,
    listener: BranchListener,
    tcp: Tcp,
    restored: boolean,
    scope: Scope,
  ): Promise<WatchedBranch> {
    // A checkpoint does not end with the request that started its program.
    const lasting = openScope(scope.log)
    const copy = (how: ProcessCheckpoint) => this.#engine.checkpoint(group, inner, lasting, { ...how, tcp })
    const program: WatchedProgram = {
      inner,
      copy,
      leave: (order) => Promise.resolve(leave(inner.parts.sandbox, order)),
      ask: () => Promise.resolve(ask(inner.pid)),
    }
    try {
      return await WatchedBranch.open(program, family, listener, restored)
    } catch (error) {
      inner.end()
      await inner[Symbol.asyncDispose]()
      throw error
    }
  }
}

/** All at once: the agent may look at any moment. */
function leave(sandbox: Sandbox, order: SandboxOrder): void {
  const draft = sandbox.inside(`${ORDER}.draft`)
  writeFileSync(draft, JSON.stringify(order), { mode: 0o600 })
  renameSync(draft, sandbox.inside(ORDER))
}

/** Why not; null: it was asked. */
function ask(pid: number): string | null {
  if (!canBeAsked(pid)) return `The program uses ${ASK} for itself.`
  process.kill(pid, ASK_NUMBER)
  return null
}
