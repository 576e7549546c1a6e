/** The one container of a machine. */
import { posix } from 'node:path'
import { Readable, type Duplex } from 'node:stream'
import { extract, pack } from 'tar-stream'
import { openScope, ThawError, within, withTimeout, type Scope } from '../../../system/index.js'
import type { OutputListener, StreamsSpec, TerminalSize } from '../../engine.js'
import type { Guest } from '../guest/guest.js'
import { Entered, Made, PathStat, Progress, Waited } from './answers.js'
import { DockerApi, DockerRefused, jsonOf } from './api.js'
import { splitPrinted } from './frames.js'

/** In each machine there is one of each. */
const NAME = 'container'
const IMAGE = 'thaw-image:latest'
const SYMLINK = 0x0800_0000
const DIRECTORY = 0x8000_0000
const MOST_LINKS = 40
/** How long a question may take. Milliseconds. */
const ANSWER_WITHIN = 120_000
/** As shells count them; Docker's words for 126 and 127. */
const SIGNALLED = 128
const CANNOT_START = 126
const NOT_FOUND = 127

export interface ContainerSpec {
  argv: readonly string[]
  env: Readonly<Record<string, string>>
  cwd: string
  /** As Docker has it; null: root. */
  user: string | null
  limits: { memory: number | null; cpu: number | null; pids: number | null }
}

export interface ContainerExit {
  code: number | null
  /** Its number. */
  signal: number | null
}

/** Prerequisite of everything: a Docker engine listens in the machine. */
export class Container {
  readonly #api: DockerApi
  readonly #guest: Guest
  #exited: Promise<ContainerExit> | null = null

  constructor(guest: Guest) {
    this.#guest = guest
    this.#api = new DockerApi(guest)
  }

  /**
   * Gives the engine the files of an image; nothing is fetched.
   *
   * @param root a tar archive
   * @throws ThawError ENGINE_MISSING, ENGINE_FAILED, DISK_FULL
   */
  async load(root: Readable, scope: Scope): Promise<void> {
    const [repo, tag] = IMAGE.split(':')
    const said = await told(() =>
      this.#api.text('POST', `/images/create?fromSrc=-&repo=${repo}&tag=${tag}`, root, scope),
    )
    for (const line of said.split('\n').filter((one) => one.trim() !== '')) {
      const { error } = Progress.parse(jsonOf(line) ?? {})
      if (error !== undefined) throw asFailure(error, '')
    }
  }

  /** Prerequisite: nothing of it runs yet, so that files are in place before. */
  async create({ argv, env, cwd, user, limits }: ContainerSpec, scope: Scope): Promise<void> {
    const wanted = {
      Image: IMAGE,
      Entrypoint: [],
      Cmd: argv,
      Env: variables(env),
      WorkingDir: cwd,
      User: user ?? '',
      HostConfig: {
        // The machine is its own: its ports are the machine's, which are carried over the channel.
        NetworkMode: 'host',
        // What it prints is read as it comes.
        LogConfig: { Type: 'none', Config: {} },
        Memory: limits.memory ?? 0,
        NanoCpus: Math.round((limits.cpu ?? 0) * 1e9),
        PidsLimit: limits.pids ?? 0,
      },
    }
    await told(() => this.#api.ask(Made, 'POST', `/containers/create?name=${NAME}`, wanted, scope))
  }

  /** @throws ThawError COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE, ENGINE_FAILED */
  async start(argv: readonly string[], listener: OutputListener, scope: Scope): Promise<void> {
    const path = `/containers/${NAME}/attach?stream=1&stdout=1&stderr=1`
    const { stream, first } = await told(() => this.#api.streams(path, {}, scope))
    const printed = listenTo(stream, first, false, listener)
    const over = this.#wait()
    over.catch(() => {})
    await told(() => this.#api.text('POST', `/containers/${NAME}/start`, null, scope), argv[0]).catch(
      (error: unknown) => {
        stream.destroy()
        throw error
      },
    )
    this.#exited = over.then(async (exit) => {
      await printed.over
      return exit
    })
  }

  /** Prerequisite: it was started. Never rejects: one whose machine has ended was killed. */
  get exited(): Promise<ContainerExit> {
    return (this.#exited ?? Promise.reject(new Error('not started'))).catch(() => ({ code: null, signal: 9 }))
  }

  /** @param signal by name. One that has ended is no error. */
  async signal(signal: string): Promise<void> {
    try {
      await this.#api.text('POST', `/containers/${NAME}/kill?signal=${signal}`, null, bounded())
    } catch (error) {
      if (!(error instanceof DockerRefused) || error.status !== 409) throw asThawError(error, '')
    }
  }

  /** Another program in it. @throws ThawError COMMAND_NOT_FOUND, NOT_EXECUTABLE, DIRECTORY_GONE, ENGINE_FAILED */
  async exec(
    spec: Omit<ContainerSpec, 'limits'> & { streams: StreamsSpec; listener: OutputListener },
    scope: Scope,
  ): Promise<ContainerProgram> {
    const { argv, env, cwd, user, streams } = spec
    const { terminal } = streams
    const wanted = {
      AttachStdin: streams.stdin !== 'null' || terminal !== null,
      AttachStdout: true,
      AttachStderr: true,
      Tty: terminal !== null,
      ...(terminal === null ? {} : { ConsoleSize: [terminal.rows, terminal.cols] }),
      Cmd: argv,
      Env: variables(env),
      WorkingDir: cwd,
      User: user ?? '',
    }
    return await told(async () => {
      const { Id } = await this.#api.ask(Made, 'POST', `/containers/${NAME}/exec`, wanted, scope)
      const begin = { Detach: false, Tty: terminal !== null }
      const { stream, first } = await this.#api.streams(`/exec/${Id}/start`, begin, scope)
      const said = await this.#refusal(Id, stream, first, scope)
      return new ContainerProgram(this.#api, this.#guest, Id, { stream, first: said }, spec)
    }, argv[0])
  }

  /** A file, links followed. @throws ThawError PATH_REFUSED */
  async readFile(path: string): Promise<{ content: Readable; size: number; mode: number }> {
    const scope = bounded()
    let at = path
    for (let links = 0; links < MOST_LINKS; links++) {
      const found = await this.#archive(at, scope)
      if ((found.mode & SYMLINK) === 0) {
        if ((found.mode & DIRECTORY) !== 0) {
          found.answer.destroy()
          throw new ThawError('PATH_REFUSED', `${path} is a directory.`)
        }
        const content = await within(scope, `reading ${path}`, onlyFile(found.answer))
        return { content: Readable.from([content]), size: content.length, mode: found.mode & 0o7777 }
      }
      found.answer.destroy()
      at = posix.resolve(posix.dirname(at), found.linkTarget)
    }
    throw new ThawError('PATH_REFUSED', `${path} cannot be used: its links lead nowhere.`)
  }

  /** Directories on the way are made. @throws ThawError PATH_REFUSED, DISK_FULL */
  async writeFile(path: string, content: AsyncIterable<Uint8Array>, mode: number): Promise<void> {
    const parts: Uint8Array[] = []
    for await (const part of content) parts.push(part)
    const archive = pack()
    archive.entry({ name: path.replace(/^\/+/, ''), mode, uid: 0, gid: 0 }, Buffer.concat(parts))
    archive.finalize()
    try {
      await this.#api.text('PUT', `/containers/${NAME}/archive?path=/`, Readable.from(archive), bounded())
    } catch (error) {
      throw asRefusal(path, error)
    }
  }

  /** Docker tells in what a program prints why it could not be started. @returns what has been read of that by then */
  async #refusal(id: string, stream: Duplex, first: Buffer, scope: Scope): Promise<Buffer> {
    for (;;) {
      const { ExitCode, Pid } = await this.#api.ask(Entered, 'GET', `/exec/${id}/json`, null, scope)
      if (ExitCode === null && Pid === 0) continue
      if (ExitCode !== CANNOT_START && ExitCode !== NOT_FOUND) return first
      const parts = [first]
      await within(scope, 'reading what Docker says', allOf(stream, parts))
      const printed = Buffer.concat(parts)
      const said = /OCI runtime exec failed: .*/.exec(printed.toString())
      if (said === null) return printed
      throw new DockerRefused(400, said[0].trim())
    }
  }

  async #archive(path: string, scope: Scope) {
    try {
      const query = encodeURIComponent(path)
      const answer = await this.#api.stream('GET', `/containers/${NAME}/archive?path=${query}`, null, scope)
      const header = answer.headers['x-docker-container-path-stat']
      const stat = PathStat.parse(jsonOf(Buffer.from(String(header), 'base64').toString()))
      return { answer, ...stat }
    } catch (error) {
      throw asRefusal(path, error)
    }
  }

  async #wait(): Promise<ContainerExit> {
    const path = `/containers/${NAME}/wait?condition=next-exit`
    return exitOf((await this.#api.ask(Waited, 'POST', path, null, openScope())).StatusCode)
  }
}

/** A program beside the container's own. */
export class ContainerProgram {
  readonly exited: Promise<ContainerExit>
  readonly #api: DockerApi
  readonly #guest: Guest
  readonly #id: string
  readonly #stream: Duplex
  readonly #printed: Printed

  constructor(
    api: DockerApi,
    guest: Guest,
    id: string,
    { stream, first }: { stream: Duplex; first: Buffer },
    { streams, listener }: { streams: StreamsSpec; listener: OutputListener },
  ) {
    this.#api = api
    this.#guest = guest
    this.#id = id
    this.#stream = stream
    this.#printed = listenTo(stream, first, streams.terminal !== null, listener, streams.joined)
    this.exited = this.#printed.over.then(() => this.#ended()).catch(() => ({ code: null, signal: 9 }))
  }

  writeStdin(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => this.#stream.write(bytes, () => resolve()))
  }

  endStdin(): void {
    this.#stream.end()
  }

  resumeOutput(): void {
    this.#printed.resume()
  }

  resize({ rows, cols }: TerminalSize): void {
    const size = `/exec/${this.#id}/resize?h=${rows}&w=${cols}`
    this.#api.text('POST', size, null, bounded()).catch(() => {})
  }

  /** Docker has no signals for such programs: the machine's own numbers are known. */
  async signal(name: string): Promise<void> {
    const { Pid } = await this.#look()
    if (Pid <= 0) return
    const argv = [
      '/bin/sh',
      '-c',
      'kill -s "$1" -- "-$2" || kill -s "$1" "$2"',
      'sh',
      name.slice(3),
      String(Pid),
    ]
    const spec = { argv, env: {}, cwd: '/', user: null, terminal: null, joined: false }
    const killer = await this.#guest.start(spec, { output: () => true }, bounded())
    killer.endStdin()
    await killer.exited
  }

  #look() {
    return this.#api.ask(Entered, 'GET', `/exec/${this.#id}/json`, null, bounded())
  }

  async #ended(): Promise<ContainerExit> {
    for (;;) {
      const { ExitCode } = await this.#look()
      if (ExitCode !== null) return exitOf(ExitCode)
      // It has closed what it printed to, and goes on.
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

interface Printed {
  /** Resolves when nothing more comes. */
  readonly over: Promise<void>
  resume(): void
}

function listenTo(
  stream: Duplex,
  first: Buffer,
  plain: boolean,
  listener: OutputListener,
  joined = false,
): Printed {
  const hand = (from: 'stdout' | 'stderr', bytes: Buffer) => {
    if (!listener.output(joined ? 'stdout' : from, bytes)) stream.pause()
  }
  const take = plain ? (bytes: Buffer) => hand('stdout', bytes) : splitPrinted(hand)
  const over = new Promise<void>((resolve) => {
    stream.once('end', resolve)
    stream.once('close', resolve)
  })
  stream.on('error', () => {})
  if (first.length > 0) take(first)
  stream.on('data', take)
  return { over, resume: () => void stream.resume() }
}

async function allOf(stream: Readable, parts: Buffer[]): Promise<void> {
  for await (const part of stream) parts.push(part as Buffer)
}

async function onlyFile(archive: Readable): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const entry of archive.pipe(extract())) {
    for await (const part of entry as AsyncIterable<Buffer>) parts.push(part)
  }
  return Buffer.concat(parts)
}

const variables = (env: Readonly<Record<string, string>>) =>
  Object.entries(env).map(([name, value]) => `${name}=${value}`)

/** Docker tells a signal as shells do. */
function exitOf(status: number): ContainerExit {
  const signal = status > SIGNALLED && status < SIGNALLED + 65 ? status - SIGNALLED : null
  return { code: signal === null ? status : null, signal }
}

async function told<T>(work: () => Promise<T>, program = ''): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw asThawError(error, program)
  }
}

function asThawError(error: unknown, program: string): unknown {
  return error instanceof DockerRefused ? asFailure(error.message, program, error) : error
}

function asFailure(said: string, program: string, cause?: Error): ThawError {
  const because = cause === undefined ? {} : { cause }
  if (/no space left on device/i.test(said))
    return new ThawError('DISK_FULL', 'The machine’s disk is full.', because)
  const start =
    /(?:unable to start container process|OCI runtime (?:create|exec) failed|executable file)/.test(said)
  if (start && /\bcwd\b|chdir|working directory/i.test(said))
    return new ThawError('DIRECTORY_GONE', `The container has no such directory: ${said}.`, because)
  if (start && /not found|no such file/i.test(said))
    return new ThawError('COMMAND_NOT_FOUND', `Cannot start ${program}: not found in the container.`, because)
  if (start && /permission denied|not permitted|not executable|exec format error/i.test(said))
    return new ThawError('NOT_EXECUTABLE', `Cannot start ${program} in the container: ${said}.`, because)
  // A user that the image does not have, a limit that the machine has no room for.
  const asked =
    (cause instanceof DockerRefused && cause.status === 400) || /unable to find (?:user|group)/.test(said)
  return new ThawError(asked ? 'INVALID_REQUEST' : 'ENGINE_FAILED', `Docker refused: ${said}.`, because)
}

function asRefusal(path: string, error: unknown): unknown {
  if (!(error instanceof DockerRefused)) return error
  if (/no space left on device/i.test(error.message)) return asFailure(error.message, '', error)
  const why = error.status === 404 ? 'does not exist' : `cannot be used (${error.message})`
  return new ThawError('PATH_REFUSED', `${path} ${why}.`, { cause: error })
}

function bounded(): Scope {
  return withTimeout(openScope(), ANSWER_WITHIN)
}
