/** One life without root: launch, checkpoint, two clones; prints what came of it. */
import { ownAllowance } from '../../packages/thaw/src/system/index.js'
import { Bench, COUNTER, TERMINAL, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) {
  console.log(JSON.stringify({ why }))
  process.exit(0)
}
await using bench = new Bench()
const one = await bench.launch(['python3', '-c', COUNTER], { network: 'private' })
await one.prints('ready')
await one.ask('a\n', '1 a')
const image = await bench.checkpoint(one)
const clones = await Promise.all([bench.restore(image), bench.restore(image)])
await Promise.all(clones.map((two) => two.type('exit\n')))
const exits = await Promise.all(clones.map((two) => two.ended))
const allowance = ownAllowance()
// The number of RLIMIT_NOFILE.
allowance.limits[7] = ['100', '200']
const limited = await bench.launch(
  ['sh', '-c', 'echo x > closed; ulimit -Sn; ulimit -Hn; read x; ulimit -Sn; ulimit -Hn'],
  { allowance },
)
await limited.prints('100\n200\n')
const kept = await bench.checkpoint(limited)
const resumed = await bench.restore(kept)
await resumed.ask('\n', '100\n200\n')
const abilities = (await bench.engine.probe()).map(({ name }) => name).join()
const shell = await bench.launch(['bash', '--norc', '-i'], { streams: TERMINAL })
await shell.ask('x=o\n', 'x=o')
const again = await bench.restore(await bench.checkpoint(shell), { streams: TERMINAL })
await again.ask('echo ${x}k $(id -u)\n', 'ok 0')
console.log(
  JSON.stringify({
    why: null,
    codes: exits.map(({ code }) => code),
    root: image.manifest.machine.user,
    notCovered: kept.notCovered,
    said: abilities.includes('files that were closed, are not in them'),
  }),
)
