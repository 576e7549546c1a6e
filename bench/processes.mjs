// Programs that thaw's process engine copies, beside bare criu and runc on the same program.
import { spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

import { NodeClient } from '@thaw/sdk/node'
import { RunStream } from '@thaw/sdk/run-stream'

import { now } from './measure.mjs'

export const QUESTION = 'x\n'

/** Fetches criu where it is missing; what was fetched for this user before serves. */
export async function prepare(bench) {
  delete bench.env.XDG_CACHE_HOME
  const setup = spawnSync(process.execPath, [bench.bin, 'setup', '--json'], {
    env: bench.env,
    encoding: 'utf8',
  })
  if (setup.status !== 0) throw new Error(`thaw setup failed: ${setup.stderr}`)
  bench.criu = JSON.parse(setup.stdout).criu
  await new NodeClient(socketOf(bench)).daemon.health()
}

/** A program of so many megabytes that waits for its first question, as an image and as the checkpoint of it. */
export async function stopped(bench, megabytes) {
  const project = bench.project('answers.py')
  const command = [bench.python, 'answers.py', String(megabytes)]
  const request = { command, cwd: project, env: bench.env, engine: 'process', break_output: 'ready' }
  const { report } = await talk(socketOf(bench), '/v1/runs/stream', { ...request, stdin: 'stream' }, () => {})
  const images = findImages(bench.home)
  if (report.outcome !== 'stopped' || images.length === 0)
    throw new Error(`the program was ${report.outcome}`)
  return { project, id: report.checkpoint.id, image: images.at(-1) }
}

/** A program that runs under thaw and answers. `ask` returns after how many seconds the answer was there. */
export async function live(bench, megabytes) {
  const project = bench.project('answers.py')
  // Without an agent in it, whose connection bare criu could not copy.
  const command = ['env', bench.python, 'answers.py', String(megabytes)]
  const request = { command, cwd: project, env: bench.env, engine: 'process', stdin: 'stream', quiet: true }
  const socket = socketOf(bench)
  let heard = () => {}
  const ready = new Promise((resolve) => (heard = resolve))
  let run
  const stream = await RunStream.open(socket, '/v1/runs/stream', request, {
    onStarted: (message) => (run = message.run),
    onStdout: (chunk) => heard(chunk),
  })
  await ready
  const pid = programOf(project)
  return {
    run,
    client: new NodeClient(socket),
    pid,
    project,
    end: async () => {
      stream.stdinEnd()
      await stream.done
    },
  }
}

/** Seconds from asking thaw for a branch to its first answer. */
export async function restore(bench, stop) {
  const started = now()
  let seconds = null
  const { branches } = await talk(
    socketOf(bench),
    `/v1/checkpoints/${stop.id}/stream`,
    { count: 1, stdin: 'stream', quiet: true },
    () => (seconds ??= now() - started),
  )
  if (seconds === null) throw new Error(`the branch did not answer: ${JSON.stringify(branches)}`)
  return seconds
}

/** Seconds from starting criu, in namespaces as it needs them, to the first answer. */
export async function bareRestore(bench, { image }) {
  const { streams } = JSON.parse(readFileSync(join(image, 'manifest.json'), 'utf8'))
  const work = join(bench.temp, 'bare')
  mkdirSync(work, { recursive: true })
  const criu = criuCommand(bench)
  const inherited = [streams.stdin, streams.stdout, streams.stderr].flatMap((name, fd) => [
    '--inherit-fd',
    `fd[${fd + 3}]:${name}`,
  ])
  const script =
    'mount -t proc proc /proc; mount -t tmpfs tmpfs /run; cp "$1" /run/criu.kdat; install -m 700 "$2" /run/.thaw-reaper; shift 2; exec "$@"'
  const command = [
    'restore',
    '-D',
    join(image, 'criu'),
    '-W',
    work,
    '-o',
    'restore.log',
    ...inherited,
    ...OPTIONS,
  ]
  const argv = ['-m', '-p', '--fork', '--kill-child', '--propagation', 'private', 'sh', '-c', script, 'sh']
  const [input, output] = ['in', 'out'].map((one) => join(work, one))
  spawnSync('mkfifo', [input, output])
  const ends = [input, output].map((one) => openSync(one, 'r+'))
  const answers = createReadStream(output)
  writeSync(ends[0], QUESTION)
  const started = now()
  const child = spawn('unshare', [...argv, featuresOf(bench), join(image, 'reaper'), ...criu, ...command], {
    stdio: ['ignore', 'ignore', 'inherit', ends[0], ends[1], ends[1]],
  })
  const closed = new Promise((resolve) => child.once('exit', resolve))
  try {
    return await new Promise((resolve, reject) => {
      answers.once('data', () => resolve(now() - started))
      child.once('exit', () => reject(new Error(`criu restored nothing: ${tail(join(work, 'restore.log'))}`)))
    })
  } finally {
    child.kill('SIGKILL')
    await closed
    answers.destroy()
    for (const end of ends) closeSync(end)
    rmSync(work, { recursive: true, force: true })
  }
}

/** Seconds that `criu dump --leave-running` takes of a program that runs under thaw, in its sandbox; and until all is on disk. */
export async function bareDump(bench, { pid, project }) {
  // All that the sandbox shows of the temporary directory.
  const directory = join(project, 'dump')
  mkdirSync(directory, { recursive: true })
  const command = [
    'dump',
    '-t',
    '999',
    '-D',
    directory,
    '-o',
    'dump.log',
    '--leave-running',
    '--network-lock',
    'skip',
  ]
  // As PID 1 of the sandbox does it: from outside of the program's own IPC and UTS namespaces.
  const argv = ['-t', String(initOf(pid)), '-m', '-p', '--', ...criuCommand(bench), ...command, ...OPTIONS]
  const started = now()
  const done = await finished(spawn('nsenter', argv, { stdio: ['ignore', 'ignore', 'inherit'] }))
  const seconds = now() - started
  if (done !== 0) throw new Error(`criu dumped nothing: ${tail(join(directory, 'dump.log'))}`)
  for (const name of readdirSync(directory)) {
    const file = openSync(join(directory, name), 'r')
    fsyncSync(file)
    closeSync(file)
  }
  const synced = now() - started
  rmSync(directory, { recursive: true, force: true })
  return { seconds, synced }
}

const OPTIONS = [
  '--tcp-established',
  '--link-remap',
  '--ghost-limit',
  '1G',
  '--file-locks',
  '--skip-in-flight',
  '-v2',
]

/** Opens a stream, asks the question as soon as it may, hands on what is answered, and waits for the end. */
async function talk(socket, path, request, onAnswer) {
  const open = {}
  let allowed = 0
  const ask = () => {
    if (open.stream === undefined || allowed < QUESTION.length) return
    allowed = 0
    open.stream.stdin(Buffer.from(QUESTION))
    open.stream.stdinEnd()
  }
  const answered = (chunk) => onAnswer(Buffer.from(chunk).toString())
  open.stream = await RunStream.open(socket, path, request, {
    onStdout: answered,
    onNumbered: (_number, _stream, chunk) => answered(chunk),
    onStdinWanted: (bytes) => {
      allowed += bytes
      if (request.break_output === undefined) ask()
    },
  })
  if (request.break_output === undefined) ask()
  const end = await open.stream.done
  return { ...end.report, report: end.report, branches: end.report.branches }
}

function socketOf(bench) {
  bench.socket ??= bench.query('daemon', 'status').socket
  return bench.socket
}

function findImages(home) {
  const found = []
  for (const name of readdirSync(home, { recursive: true }))
    if (name.endsWith('/manifest.json')) found.push(join(home, name, '..'))
  return found.sort()
}

/** The one process whose working directory this is and that Python runs. */
function programOf(project) {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readlinkSync(`/proc/${pid}/cwd`) === project && readlinkSync(`/proc/${pid}/exe`).includes('python'))
        return Number(pid)
    } catch {
      // It has ended.
    }
  }
  throw new Error('the program is not to be found')
}

/** PID 1 of the namespace in which a process is: its parent's parent. */
function initOf(pid) {
  const parent = (one) => /^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${one}/status`, 'latin1'))[1]
  return parent(parent(pid))
}

/** criu as thaw uses it. */
export function criuCommand({ criu }) {
  const about = join(criu.path, 'criu.json')
  if (criu.source === 'system') return [criu.path]
  const { loader, libraries, program } = JSON.parse(readFileSync(about, 'utf8')).parts
  return [loader, '--library-path', libraries, program].map((one) =>
    one.startsWith('--') ? one : join(criu.path, one),
  )
}

/** criu's cache of kernel features, as thaw made it. */
function featuresOf({ env, criu }) {
  const cache = join(env.XDG_CACHE_HOME ?? join(env.HOME, '.cache'), 'thaw', 'criu-features')
  const name = readdirSync(cache).find((one) => one.startsWith(`features-${criu.version}-`))
  return join(cache, name)
}

export function finished(child) {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
}

function tail(file) {
  return existsSync(file) ? readFileSync(file, 'latin1').slice(-1500) : 'no log'
}
