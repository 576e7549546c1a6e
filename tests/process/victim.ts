/** Goes round through launch, checkpoint, restore and discard until it is killed; says each step before it is taken. */
import { Bench, COUNTER, whyNot } from '../support/process.js'

const say = (step: string) => process.stdout.write(`${step}\n`)

if ((await whyNot()) !== null) process.exit(2)
const bench = new Bench()
say(`directory ${bench.directory}`)
for (;;) {
  say('launch')
  const one = await bench.launch([
    'sh',
    '-c',
    'trap "" TERM HUP; sleep 300 & (setsid sleep 300 &) ; exec python3 -c "$0"',
    COUNTER,
  ])
  await one.prints('ready')
  say('checkpoint')
  const image = await bench.checkpoint(one)
  say('restore')
  const two = await bench.restore(image)
  await two.ask('a\n', '1 a')
  say('discard')
  await bench.engine.discard(image)
  const kept = await bench.checkpoint(two)
  say(`kept ${kept.directory}`)
  await one.branch.signal('SIGKILL')
  await two.branch.signal('SIGKILL')
}
