import { ask } from '../client.js'
import { print } from '../print.js'
import { renderFindings } from '../render/doctor.js'

export async function setup(options: { json?: boolean }): Promise<number> {
  if (options.json !== true)
    process.stderr.write('thaw: looking for what the engines need; fetching it takes a minute, once\n')
  const report = await ask((client) => client.daemon.setup())
  await print(report, options.json, ({ criu, fetched, findings }) => {
    const did = fetched ? 'Fetched' : 'Nothing to do:'
    return `${did} criu ${criu.version}, ${criu.path}\n${renderFindings(findings)}`
  })
  return 0
}
