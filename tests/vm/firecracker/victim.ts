/** Starts a machine and waits to be killed. */
import { FirecrackerMonitor } from '../../../packages/thaw/src/engines/vm/firecracker/machine.js'
import type { MachineSpec } from '../../../packages/thaw/src/engines/vm/monitor.js'
import { openScope, withTimeout } from '../../../packages/thaw/src/system/index.js'

const [program = '', spec = ''] = process.argv.slice(2)
await new FirecrackerMonitor(program).start(JSON.parse(spec) as MachineSpec, withTimeout(openScope(), 30_000))
console.log('it runs')
setInterval(() => {}, 1000)
