import { setMaxListeners } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CriuProvider } from '../../packages/thaw/src/engines/process/criu/provide.js'
import { ProcessGroup } from '../../packages/thaw/src/engines/process/group.js'
import { ProcessEngine } from '../../packages/thaw/src/engines/process/process.js'
import type {
  ProcessCheckpoint,
  ProcessLaunch,
  ProcessRestore,
} from '../../packages/thaw/src/engines/process/specs.js'
import { WITHOUT_CARE, type ImageCare } from '../../packages/thaw/src/engines/process/keeper.js'
import type { ProcessBranch } from '../../packages/thaw/src/engines/process/branch.js'
import type { ProcessImage } from '../../packages/thaw/src/engines/process/image.js'
import type { StreamsSpec } from '../../packages/thaw/src/engines/engine.js'
import { findPaths, openScope, ownAllowance, ThawError } from '../../packages/thaw/src/system/index.js'
import { until } from './home.js'

export const provider = new CriuProvider(findPaths().cache)

/** Why the tests of the process engine cannot run here; null when they can. criu is fetched when it is missing. */
export async function whyNot(): Promise<string | null> {
  try {
    await provider.get((what) => console.error(`tests/process: ${what}`), openScope())
    return null
  } catch (error) {
    const { code, message } = ThawError.from(error)
    return `${code}: ${message}`
  }
}

/** Pipes, or a terminal. */
export const PIPES: StreamsSpec = { stdin: 'stream', joined: false, terminal: null }
export const TERMINAL: StreamsSpec = { stdin: 'stream', joined: true, terminal: { rows: 24, cols: 80 } }

/** A branch, with what it has printed. */
export class Watched {
  readonly branch: ProcessBranch
  readonly #parts: Record<'stdout' | 'stderr', Buffer[]>

  constructor(branch: ProcessBranch, parts: Record<'stdout' | 'stderr', Buffer[]>) {
    this.branch = branch
    this.#parts = parts
  }

  get stdout(): string {
    return this.bytes().toString()
  }

  get stderr(): string {
    return this.bytes('stderr').toString()
  }

  bytes(stream: 'stdout' | 'stderr' = 'stdout'): Buffer {
    return Buffer.concat(this.#parts[stream])
  }

  async prints(text: string, seconds = 10): Promise<void> {
    await until(
      `${JSON.stringify(text)} in ${JSON.stringify(this.stdout.slice(-500))}`,
      () => this.stdout.includes(text),
      seconds,
    )
  }

  async type(text: string): Promise<void> {
    await this.branch.writeStdin(Buffer.from(text))
  }

  async ask(text: string, answer: string): Promise<void> {
    await this.type(text)
    await this.prints(answer)
  }

  get ended() {
    return this.branch.exited
  }
}

/** An engine with a group and a project directory of its own; gone without a trace at the end. */
export class Bench implements AsyncDisposable {
  readonly directory = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-process-')))
  readonly project = join(this.directory, 'project')
  /** Who looks after images; exchanged by tests of that. */
  care: ImageCare = WITHOUT_CARE
  readonly engine = new ProcessEngine(provider, undefined, {
    use: (image) => this.care.use(image),
    remove: (image) => this.care.remove(image),
    discard: (directory) => this.care.discard(directory),
  })
  readonly #controller = new AbortController()
  readonly scope = openScope(undefined, this.#controller.signal)
  readonly group: ProcessGroup
  #branches = 0

  constructor(images?: string) {
    mkdirSync(this.project)
    setMaxListeners(0, this.#controller.signal)
    this.group = ProcessGroup.open(
      images ?? join(this.directory, 'images'),
      join(this.directory, 'work'),
      this.scope.log,
    )
  }

  async launch(argv: string[], more: Partial<ProcessLaunch> = {}): Promise<Watched> {
    return await this.#watch((spec) =>
      this.engine.launch(
        this.group,
        {
          ...spec,
          argv,
          cwd: this.project,
          umask: 0o22,
          env: environment(),
          allowance: ownAllowance(),
          ...more,
          listener: spec.listener,
        },
        this.scope,
      ),
    )
  }

  async checkpoint(one: Watched, how?: ProcessCheckpoint): Promise<ProcessImage> {
    return await this.engine.checkpoint(this.group, one.branch, this.scope, how)
  }

  async restore(
    image: ProcessImage,
    more: Partial<ProcessRestore> = {},
    engine = this.engine,
  ): Promise<Watched> {
    return await this.#watch((spec) =>
      engine.restore(this.group, image, { ...spec, ...more, listener: spec.listener }, this.scope),
    )
  }

  async #watch(
    begin: (spec: {
      branch: string
      streams: StreamsSpec
      listener: ProcessLaunch['listener']
    }) => Promise<ProcessBranch>,
  ): Promise<Watched> {
    const parts = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
    const listener = {
      output(stream: 'stdout' | 'stderr', bytes: Buffer) {
        parts[stream].push(Buffer.from(bytes))
        return true
      },
    }
    const branch = await begin({ branch: `b_${++this.#branches}`, streams: PIPES, listener })
    return new Watched(branch, parts)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.group[Symbol.asyncDispose]()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

export function environment(): Record<string, string> {
  const { NODE_EXTRA_CA_CERTS: _slow, ...own } = process.env as Record<string, string>
  for (const name of Object.keys(own)) if (/^(THAW_|VITEST|NODE_)/.test(name)) delete own[name]
  return { ...own, PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' }
}

/** Mounts as sandboxes make them, in this namespace. Not file systems in memory: tests that run beside mount such. */
export function sandboxMounts(): number {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  return mounts.filter((line) => / - (overlay|proc|devpts|sysfs) /.test(line)).length
}

/** What must be the same before and after: sandboxes that this process (or another) started, mounts, files. */
export function remains(
  directory: string,
  starter = process.pid,
): { sandboxes: string[]; mounts: number; files: string[] } {
  const sandboxes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`/sandbox\0${starter}\0`)
      } catch {
        return false
      }
    })
  return {
    sandboxes,
    mounts: sandboxMounts(),
    files: readdirSync(directory),
  }
}

/** Counts the lines it is sent; ends with their number at `exit`. */
export const COUNTER = `
import sys
n = 0
print("ready", flush=True)
for line in sys.stdin:
    n += 1
    print(n, line.strip(), flush=True)
    if line.strip() == "exit": sys.exit(n)
`
