/**
 * Memory that comes when it is needed: a large program goes on before all of its pages are there. criu's page server
 * gives them out, those that are asked for first, and ends when it has given all.
 */
import { closeSync, existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { duplicateOf, ThawError, within, withTimeout, type Scope } from '../../system/index.js'
import { lazyPagesCommand } from './criu/commands.js'
import type { Criu } from './criu/criu.js'
import type { ProcessImage } from './image.js'
import { PART } from './image.js'
import type { Sandbox } from './sandbox.js'
import { WORK } from './setting.js'

/** From this size of memory on, it wins. Bytes. */
export const LAZY_FROM = 96 * 1024 * 1024
const START_TIMEOUT = 10_000
const LOOK_EVERY = 5
/** What criu restore looks for in its work directory. */
const SOCKET = 'lazy-pages.socket'

/** Everything in the sandbox ends when the page server fails. The shell that does that stays no longer than the server. */
const GUARD = '{ "$@" || kill -KILL -1; } &'

/** Bytes of memory in an image. */
export function memoryOf({ manifest }: ProcessImage): number {
  const pages = Object.entries(manifest.sizes).filter(([name]) => name.startsWith(`${PART.criu}/pages-`))
  return pages.reduce((sum, [, size]) => sum + size, 0)
}

/** Whether the kernel lets one process give another its pages; only root is asked. */
export function canBeLazy(criu: Criu): boolean {
  return !criu.user && existsSync('/proc/sys/vm/unprivileged_userfaultfd')
}

export class PageServer {
  /** Resolves when all pages are there, or nobody wants them any more. */
  readonly done: Promise<void>
  readonly #sandbox: Sandbox
  #isDone = false

  private constructor(sandbox: Sandbox) {
    this.#sandbox = sandbox
    this.done = this.#wait()
  }

  /**
   * Prerequisite: the sandbox knows the directories of the image and of the branch.
   *
   * @param work directory of the branch
   * @throws ThawError ENGINE_FAILED
   */
  static async start(sandbox: Sandbox, criu: Criu, work: string, scope: Scope): Promise<PageServer> {
    const argv = lazyPagesCommand(criu, WORK.restore, PART.criu)
    await sandbox.criu(['/bin/sh', '-c', GUARD, 'guard', ...argv], scope)
    const server = new PageServer(sandbox)
    const socket = join(work, WORK.restore, SOCKET)
    const ready = (async () => {
      while (!existsSync(socket)) {
        if (server.#isDone) throw new ThawError('ENGINE_FAILED', 'The server of pages ended.')
        await pause()
      }
    })()
    await within(withTimeout(scope, START_TIMEOUT), 'starting a server of pages', ready)
    return server
  }

  /** Its processes that live: PID 1 takes them for the program's. */
  get processes(): number {
    return this.guards.reduce((sum, pid) => sum + 1 + childrenOf(pid).length, 0)
  }

  /** Pids of those that look after it, while it lives. */
  get guards(): number[] {
    const children = childrenOf(this.#sandbox.initPid)
    return children.filter((pid) => read(`/proc/${pid}/cmdline`).includes(`\0${GUARD}\0`))
  }

  async #wait(): Promise<void> {
    const held = new Held()
    for (let guards; (guards = this.guards).length > 0; await pause()) {
      const [server] = guards.flatMap(childrenOf)
      if (server !== undefined) held.follow(server)
    }
    held[Symbol.dispose]()
    this.#isDone = true
  }
}

/**
 * Duplicates of the descriptors by which a page server gives pages. Were they closed by its end alone, the kernel
 * would give zeros for what is missing; so a program that waits for a page goes on waiting until it is killed.
 */
class Held implements Disposable {
  readonly #own = new Map<string, number>()

  follow(server: number): void {
    const directory = `/proc/${server}/fd`
    const names = list(directory)
    // It has ended: only that it closes one while it lives means that it needs it no more.
    if (names.length === 0) return
    const open = new Set(names.filter((name) => linkOf(join(directory, name)) === 'anon_inode:[userfaultfd]'))
    for (const name of open) {
      const own = this.#own.has(name) ? null : duplicateOf(server, Number(name))
      if (own !== null) this.#own.set(name, own)
    }
    for (const [name, own] of this.#own) {
      if (open.has(name) || list(directory).length === 0) continue
      this.#own.delete(name)
      closeSync(own)
    }
  }

  [Symbol.dispose](): void {
    for (const own of this.#own.values()) closeSync(own)
    this.#own.clear()
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

function childrenOf(pid: number): number[] {
  return read(`/proc/${pid}/task/${pid}/children`).trim().split(/\s+/).filter(Boolean).map(Number)
}

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, LOOK_EVERY))
