/** A daemon's snapshots and pools, brought to one state or step, in which it kills itself. Arguments: DIRECTORY SCENE. */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InstanceRequest, PoolRequest } from '@thaw/protocol'
import { pagesOf, ProductBench } from '../support/products.js'

const [directory = '', scene = ''] = process.argv.slice(2)
const die = (): never => {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('alive')
}
const bench = new ProductBench({}, directory)
const { images, pools, provision, snapshots } = bench.products
if (images.list().length === 0) {
  await bench.command('server', ['python3', '-B', 'server.py'], { ports: [8000], readiness: { port: 8000 } })
}
const snapshot = async () =>
  snapshots.list().at(-1) ?? (await bench.snapshot({ image: 'server', name: 'web' }))
const pool = async (size: number) => {
  pools.create(PoolRequest.parse({ name: 'p', snapshots: [(await snapshot()).id], size }))
}
/** Looks at every turn of the loop. */
const dieWhen = (holds: () => boolean) => {
  if (holds()) die()
  setImmediate(() => dieWhen(holds))
}
const dieAt = (what: (message: string, fields?: object) => boolean) =>
  (bench.onLine = (message, fields) => void (what(message, fields) && die()))
const dieAtStep = (step: string) =>
  dieAt((message, fields) => message === 'snapshot' && (fields as { step: string }).step === step)

const [kind = '', at = ''] = scene.split(' ')
if (kind === 'creating') {
  dieAtStep(at)
  await snapshot()
} else {
  const made = await snapshot()
  if (kind === 'rebuilding') {
    dieAtStep(at)
    snapshots.rebuild('web')
  } else if (scene === 'unhealthy') {
    writeFileSync(pagesOf(made.path), '')
    dieAt((message) => message === 'A snapshot is unhealthy.')
    for (;;) await bench.start({ image: 'server' })
  } else if (scene === 'deleted') {
    await bench.start({ image: 'server' })
    await snapshots.remove('web', { cascade: false, force: false })
    die()
  } else if (scene === 'restoring') {
    provision.create(InstanceRequest.parse({ image: 'server' }), bench.scope)
    setTimeout(die, 30)
  } else if (scene === 'filling') {
    await pool(3)
    dieWhen(() => pools.members === 2)
  } else {
    await pool(2)
    await pools.warm('p')
    if (scene === 'taking') {
      provision.take('p', {}, bench.scope)
      setImmediate(die)
    } else if (scene === 'refreshing') {
      void pools.refresh('p')
      dieWhen(() => readdirSync(join(directory, 'members')).length === 3)
    } else if (scene === 'draining') {
      void pools.drain('p')
      die()
    }
  }
}
// What was begun is to come to the point where it ends.
await new Promise((resolve) => setTimeout(resolve, 60_000))
