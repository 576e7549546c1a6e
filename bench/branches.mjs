// A hundred branches of a 50 MB program, by thaw and by bare forks of it: time until all have said something, and what
// memory each has of its own then.
import { spawn } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { NodeClient } from '@thaw/sdk/node'
import { RunStream } from '@thaw/sdk/run-stream'

import { median, now } from './measure.mjs'

export const COUNT = 100

/** Bytes of a process that it shares with nobody. */
function ownBytes(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')
  const kilobytes = [...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm)].map((match) =>
    Number(match[1]),
  )
  return 1024 * kilobytes.reduce((sum, one) => sum + one, 0)
}

/** Waits until COUNT processes are there; `feed` takes their output. */
function arrivals(project) {
  const pids = []
  let rest = ''
  let done
  const all = new Promise((resolve) => (done = resolve))
  const feed = (chunk) => {
    rest += Buffer.from(chunk).toString()
    const lines = rest.split('\n')
    rest = lines.pop()
    for (const line of lines) {
      const match = /^ready (\d+)$/.exec(line)
      if (match !== null) pids.push(Number(match[1]))
      if (pids.length === COUNT && match !== null) done(now())
    }
  }
  const finish = () => {
    const own = pids.map(ownBytes)
    writeFileSync(join(project, 'end'), '')
    return median(own)
  }
  return { feed, all, finish }
}

async function bare(bench) {
  const project = bench.project('branches.py')
  const child = spawn(bench.python, ['branches.py', 'bare'], {
    cwd: project,
    env: bench.env,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const { feed, all, finish } = arrivals(project)
  const ended = new Promise((resolve) => child.on('close', resolve))
  await new Promise((resolve) => child.stdout.once('data', resolve))
  child.stdout.on('data', feed)
  const started = now()
  child.stdin.end('\n')
  const seconds = (await all) - started
  const bytes = finish()
  await ended
  return { seconds, bytes }
}

/** The stop that all of the bench's branches go on from. */
export async function stopped(bench) {
  const project = bench.project('branches.py')
  const flags = ['--break', 'branches.py:branch']
  const { report } = await bench.thaw(project, ['branches.py'], { flags, outcome: 'stopped' })
  return { project, id: report.checkpoint.id, socket: bench.query('daemon', 'status').socket }
}

async function branches({ project, id, socket }) {
  rmSync(join(project, 'end'), { force: true })
  const { feed, all, finish } = arrivals(project)
  // The lines come whole: each branch writes one.
  const handlers = { onNumbered: (_number, _stream, chunk) => feed(chunk) }
  const started = now()
  const path = `/v1/checkpoints/${id}/stream`
  const stream = await RunStream.open(socket, path, { count: COUNT, quiet: true }, handlers)
  const seconds = (await all) - started
  const bytes = finish()
  await stream.done
  return { seconds, bytes }
}

export async function compare(bench, rounds) {
  const stop = await stopped(bench)
  await new NodeClient(stop.socket).daemon.health()
  const samples = { branches: [], bare: [], branch_bytes: [], bare_bytes: [] }
  for (let round = -1; round < rounds; round++) {
    const [plain, ours] = [await bare(bench), await branches(stop)]
    if (round < 0) continue
    samples.bare.push(plain.seconds)
    samples.branches.push(ours.seconds)
    samples.bare_bytes.push(plain.bytes)
    samples.branch_bytes.push(ours.bytes)
  }
  return samples
}
