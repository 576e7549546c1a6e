// A pool of three copies of server.py: warmed up, taken from, let go. Run it in a clone of thaw:
//   npm run build && node examples/pool/demo.mjs
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { NodeClient } from '@thaw/sdk/node'

const here = dirname(fileURLToPath(import.meta.url))
const thaw = join(here, '../../packages/thaw/bin/thaw.js')
const started = spawnSync(process.execPath, [thaw, 'daemon', 'start'], { stdio: 'inherit' })
if (started.status !== 0) process.exit(started.status ?? 1)
const status = spawnSync(process.execPath, [thaw, 'daemon', 'status', '--json'], { encoding: 'utf8' })
const client = new NodeClient(JSON.parse(status.stdout).socket)

const timed = async (work) => {
  const began = performance.now()
  return [await work(), performance.now() - began]
}
const mark = Date.now().toString(36)
const image = await client.images.create({
  kind: 'directory',
  name: `pool-demo-${mark}`,
  path: here,
  command: ['python3', '-B', 'server.py'],
  ports: [8000],
  readiness: { port: 8000 },
})
console.log('=== Pool demo ===')
const [snapshot, built] = await timed(() => client.snapshots.create({ image: image.name }))
console.log(
  `\n0. Snapshot made in ${built.toFixed(0)} ms; a start takes ${(1000 * snapshot.cold_seconds).toFixed(0)} ms`,
)
const [pool, warm] = await timed(() => client.pools.create({ snapshots: [snapshot.id], size: 3 }))
console.log(`\n1. Warming up\n   - pool warmed up in ${warm.toFixed(0)} ms`)
console.log('\n2. Statistics')
console.log(`   - size: ${pool.ready}/${pool.size}`)
console.log(`   - oldest: ${pool.oldest_seconds.toFixed(1)} s, newest: ${pool.newest_seconds.toFixed(1)} s`)
console.log(`   - memory: ${(pool.memory_bytes / 1e6).toFixed(0)} MB`)
console.log('\n3. Taking')
const taken = []
for (let number = 1; number <= 5; number++) {
  const [one, ms] = await timed(() => client.pools.spawn(pool.id))
  const answer = await fetch(`http://127.0.0.1:${one.ports[0].host}`)
  console.log(
    `   - ${number}: ${one.name} by ${one.boot_method} in ${ms.toFixed(1)} ms: ${(await answer.text()).trim()}`,
  )
  taken.push(one)
}
console.log('\n4. Letting go')
for (const one of taken) await client.pools.destroy(one)
await client.snapshots.remove(snapshot.id, { cascade: true })
await client.images.remove(image.id)
console.log('   - nothing left')
