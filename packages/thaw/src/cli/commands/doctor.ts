import { environment } from '@thaw/sdk/node'
import type { Finding } from '@thaw/protocol'
import { findPaths } from '../../system/paths.js'
import { VERSION } from '../../version.js'
import { ask } from '../client.js'
import { print } from '../print.js'
import { renderFindings, renderSettings } from '../render/doctor.js'

export async function doctor(options: { json?: boolean; config?: boolean }): Promise<number> {
  if (options.config === true) {
    const settings = await ask((client) => client.daemon.settings(process.cwd(), environment()))
    await print({ settings }, options.json, (found) => renderSettings(found.settings))
    return 0
  }
  const paths = findPaths()
  const own: Finding[] = [
    { name: 'thaw', ok: true, detail: `${VERSION}, Node ${process.versions.node}`, fix: null },
    { name: 'state', ok: true, detail: paths.state, fix: null },
    { name: 'socket', ok: true, detail: paths.socket, fix: null },
  ]
  const findings = [...own, ...(await ask((client) => client.daemon.doctor()))]
  await print({ findings }, options.json, (found) => renderFindings(found.findings))
  return 0
}
