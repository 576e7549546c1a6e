/**
 * A process that stands by for one command of the command line. The start of Node and of what `thaw run` loads is
 * most of what people wait for when there is little to do, so it is done before: native/front hands the command over
 * with its streams, and passes signals and the exit code on. Ends with the daemon, and when nobody comes.
 */
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { OPEN_FILES_VARIABLE } from '../system/allowance.js'
import { packageRoot } from '../system/assets.js'
import { standFor } from '../system/caller.js'
import { dup2, loadCalls, receiveDescriptors } from '../system/descriptors.js'
import { readOwner } from '../system/lock.js'
import { findPaths } from '../system/paths.js'
import { isAlive, isRunning } from '../system/process-identity.js'
import { standByNext } from './successor.js'
import { carryOut } from './verbs.js'

/** So long nobody comes, then it ends. Milliseconds. */
const PATIENCE = 15 * 60_000
/** How often it is seen whether the daemon still runs. */
const INTERVAL = 500
/** What is told before the command begins (native/front). */
const TAKEN = 't'
/** Exit code of a command whose caller was killed. */
const KILLED = 137

interface Command {
  pid: number
  umask: number
  openFiles: string
  cwd: string
  argv: string[]
  env: Record<string, string>
}

/** Which build this is; native/front works out the same. */
function stamp(): string {
  const found = statSync(join(packageRoot(), 'dist', 'build-stamp'), { bigint: true })
  const nanoseconds = String(found.mtimeNs % 1_000_000_000n).padStart(9, '0')
  return `${found.dev}.${found.ino}.${found.mtimeNs / 1_000_000_000n}.${nanoseconds}.`
}

/** Whether another one stands by already. What killed ones have left goes. */
function isSpare(directory: string, own: string): boolean {
  let found = false
  for (const name of readdirSync(directory)) {
    const pid = Number(/\.(\d+)(?:\.taken)?$/.exec(name)?.[1] ?? 0)
    if (!isRunning(pid)) rmSync(join(directory, name), { force: true })
    else if (name.startsWith(own) && !name.endsWith('.taken')) found = true
  }
  return found
}

function main(): void {
  const paths = findPaths()
  const directory = join(paths.state, 'standby')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  if (lstatSync(directory).uid !== process.getuid?.()) return
  const own = stamp()
  if (isSpare(directory, own)) return
  loadCalls()
  const name = `${own}${process.pid}`
  const leave = () => {
    rmSync(join(directory, name), { force: true })
    process.exit(0)
  }
  const daemon = readOwner(paths.lock)
  if (daemon === null) return
  const end = performance.now() + PATIENCE
  const timer = setInterval(() => {
    if (!isAlive(daemon) || performance.now() > end) leave()
  }, INTERVAL)
  const server = createServer({ pauseOnConnect: true }, (line) => {
    clearInterval(timer)
    server.close()
    void take(line)
  })
  process.chdir(directory)
  // By a relative name, since the directory's own path may be longer than a socket's may be.
  const draft = `draft.${process.pid}`
  server.listen(draft, () => {
    chmodSync(draft, 0o600)
    renameSync(draft, name)
    // What the verbs but `run` need.
    void import('./program.js')
  })
}

async function take(line: Socket): Promise<void> {
  const fd = (line as unknown as { _handle: { fd: number } })._handle.fd
  const command = await receive(fd)
  standFor(command.pid)
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, command.env, { [OPEN_FILES_VARIABLE]: command.openFiles })
  process.umask(command.umask)
  process.chdir(command.cwd)
  process.argv.splice(2, Infinity, ...command.argv)
  try {
    writeSync(fd, TAKEN)
  } catch {
    // Nobody waits any more, so nothing is done.
    process.exit(KILLED)
  }
  line.on('error', () => {})
  line.on('close', () => process.exit(KILLED))
  line.resume()
  process.on('exit', (code) => {
    try {
      writeSync(fd, Uint8Array.of(code))
    } catch {
      // Its caller was killed.
    }
    void standByNext()
  })
  process.exit(await carryOut(command.argv))
}

/** The command, once this process has its streams. */
async function receive(fd: number): Promise<Command> {
  const head = Buffer.alloc(4)
  const streams = await patiently(() => receiveDescriptors(fd, head, 3))
  for (const [target, stream] of streams.entries()) {
    dup2(stream, target)
    closeSync(stream)
  }
  const text = Buffer.alloc(head.readUInt32LE())
  for (let at = 0; at < text.length;) {
    at += await patiently(() => {
      try {
        return readSync(fd, text, at, text.length - at, null) || null
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return null
        throw error
      }
    })
  }
  const [pid, umask, openFiles = '', cwd = '/', count, ...rest] = text
    .toString('utf8')
    .split('\0')
    .slice(0, -1)
  const argv = rest.slice(0, Number(count))
  const env = rest.slice(Number(count)).map((one) => {
    const at = one.indexOf('=', 1)
    return [one.slice(0, at), one.slice(at + 1)] as const
  })
  return { pid: Number(pid), umask: Number(umask), openFiles, cwd, argv, env: Object.fromEntries(env) }
}

/** The sender has connected and says all at once: it is a matter of microseconds. */
async function patiently<T>(attempt: () => T | null): Promise<T> {
  for (let tries = 0; tries < 2000; tries++) {
    const got = attempt()
    if (got !== null) return got
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  process.exit(KILLED)
}

main()
