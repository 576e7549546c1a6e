/** A daemon with machines, brought to one point, at which it kills itself. Arguments: DIRECTORY SCENE. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { InstanceRequest, PoolRequest } from '@thaw/protocol'
import { ProductBench } from '../../support/products.js'
import { processesWith } from '../../support/vm.js'

const [directory = '', scene = ''] = process.argv.slice(2)
const die = (): never => {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('alive')
}
const bench = new ProductBench({}, directory)
const { pools, provision, snapshots } = bench.products
/** Looks at every turn of the loop. */
const dieWhen = (holds: () => boolean) => {
  if (holds()) die()
  setImmediate(() => dieWhen(holds))
}
const runs = () => processesWith(directory).length > 0
/** A file of a copy that is being written. */
const isWritten = (name: string) =>
  readdirSync(join(directory, 'snapshots')).some(
    (one) => one.endsWith('.draft') && existsSync(join(directory, 'snapshots', one, name)),
  )

const [kind, at = ''] = scene.split(' ')
if (kind === 'booting') {
  void bench.snapshot({ image: 'counter', name: 'child' })
  dieWhen(runs)
} else if (kind === 'child') {
  bench.onLine = (message, fields) =>
    void (message === 'snapshot' && (fields as { step: string }).step === at && die())
  void bench.snapshot({ from: 'base', name: 'child' })
} else if (kind === 'saving') {
  void bench.snapshot({ from: 'base', name: 'child' })
  dieWhen(() => isWritten(at))
} else if (kind === 'restoring') {
  provision.create(InstanceRequest.parse({ image: 'counter' }), bench.scope)
  dieWhen(runs)
} else if (kind === 'running') {
  await bench.start({ image: 'counter' })
  die()
} else if (kind === 'pool') {
  pools.create(PoolRequest.parse({ name: 'p', snapshots: [snapshots.get('base').id], size: 2 }))
  dieWhen(() => pools.members === Number(at))
}
// What was begun is to come to the point where it ends.
await new Promise((resolve) => setTimeout(resolve, 240_000))
