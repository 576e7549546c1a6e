// Takes from a pool, at 1, 5, 10 and 20 at once, beside restores and starts of the same program in the same run.
// Raw results go to bench/results/pools-….json. Options: --rounds N, --thaw FILE.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { NodeClient } from '@thaw/sdk/node'

const here = dirname(fileURLToPath(import.meta.url))
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    thaw: { type: 'string', default: join(here, '../packages/thaw/bin/thaw.js') },
  },
})
const rounds = Number(options.rounds)
const directory = realpathSync(mkdtempSync(join(os.tmpdir(), 'thaw-bench-pools-')))
const home = join(directory, 'home')
const env = { ...process.env, THAW_HOME: home, THAW_SNAPSHOT_AUTO: '0' }
const thaw = (...args) => {
  const done = spawnSync(process.execPath, [options.thaw, ...args], { env, encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`thaw ${args.join(' ')}: ${done.stderr}`)
  return done.stdout
}
const percentile = (values, share) =>
  values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(share * values.length) - 1)]
const summary = (values) => ({
  count: values.length,
  p50: percentile(values, 0.5),
  p95: percentile(values, 0.95),
  p99: percentile(values, 0.99),
})
const load = os.loadavg()
thaw('daemon', 'start')
try {
  const client = new NodeClient(join(home, 'run', 'daemon.sock'))
  const project = join(here, '../examples/pool')
  await client.images.create({
    kind: 'directory',
    name: 'server',
    path: project,
    command: ['python3', '-B', 'server.py'],
    ports: [8000],
    readiness: { port: 8000 },
  })
  const timed = async (work) => {
    const began = performance.now()
    const made = await work()
    return { made, ms: performance.now() - began }
  }
  const several = async (count, work, method) => {
    const list = []
    for (let i = 0; i < count; i++) {
      const { made, ms } = await timed(work)
      if (made.boot_method !== method) throw new Error(`${made.boot_method} instead of ${method}`)
      list.push(ms)
      await client.pools.destroy(made)
    }
    return list
  }
  const cold = await several(Math.min(rounds, 5), () => client.instances.create({ image: 'server' }), 'cold')
  const snapshot = await client.snapshots.create({ image: 'server' })
  const warm = await several(rounds, () => client.instances.create({ image: 'server' }), 'warm')
  const size = 20
  const takes = {}
  let memory = 0
  let warmup = 0
  let refill = 0
  for (const atOnce of [1, 5, 10, 20]) {
    const pool = await timed(() => client.pools.create({ snapshots: [snapshot.id], size }))
    const { id } = pool.made
    memory = pool.made.memory_bytes / size
    warmup = pool.ms
    const all = []
    while (all.length < Math.max(rounds, atOnce)) {
      const taken = await Promise.all(
        Array.from({ length: atOnce }, () => timed(() => client.pools.spawn(id))),
      )
      all.push(...taken.map(({ ms }) => ms))
      for (const { made } of taken) {
        if (made.boot_method !== 'pool') throw new Error(`${made.boot_method} instead of pool`)
        await client.pools.destroy(made)
      }
      const again = await timed(() => client.pools.warmup(id))
      if (atOnce === 20) refill = size / (again.ms / 1000)
    }
    const { take_ms } = await client.pools.get(id)
    takes[atOnce] = { ready: summary(all), on: take_ms }
    await client.pools.remove(id)
  }
  const results = {
    date: new Date().toISOString(),
    machine: { cpus: os.cpus().length, kernel: os.release(), load, load_after: os.loadavg() },
    cold: summary(cold),
    restore: summary(warm),
    takes,
    warmup_ms: warmup,
    refill_per_second: refill,
    member_bytes: memory,
    snapshot_bytes: snapshot.stored_bytes,
  }
  mkdirSync(join(here, 'results'), { recursive: true })
  const stamp = results.date.replace(/[-:]|\.\d+/g, '')
  writeFileSync(join(here, 'results', `pools-${stamp}.json`), `${JSON.stringify(results, null, 2)}\n`)
  console.log(JSON.stringify(results, null, 2))
} finally {
  thaw('daemon', 'stop', '--force')
  rmSync(directory, { recursive: true, force: true })
}
