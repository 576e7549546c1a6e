import { ask } from '../client.js'
import { print } from '../print.js'
import { renderFindings } from '../render/doctor.js'

export async function setup(options: { json?: boolean; engine?: 'process' | 'vm' }): Promise<number> {
  if (options.json !== true)
    process.stderr.write('thaw: looking for what the engine needs; fetching it takes a minute or two, once\n')
  const report = await ask((client) => client.daemon.setup(options.engine))
  await print(report, options.json, ({ criu, qemu, fetched, findings }) => {
    const did = fetched ? 'Fetched' : 'Nothing to do:'
    const what = [
      ...(criu === null ? [] : [`criu ${criu.version}, ${criu.path}`]),
      ...(qemu === null ? [] : [`qemu ${qemu.version} and Linux ${qemu.kernel}, ${qemu.path}`]),
    ]
    return `${did} ${what.join('; ')}\n${renderFindings(findings)}`
  })
  return 0
}
