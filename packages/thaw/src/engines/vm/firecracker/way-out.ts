/**
 * A machine's way out: slirp4netns carries packets in user space, with the host's own loopback closed. Its device and
 * the machine's are ports of one bridge in the machine's network namespace. So the guest has the addresses that
 * slirp4netns gives (10.0.2.0/24, gateway .2, names .3), the same in every clone, and nothing is translated.
 */
import { startProcess, ThawError, within, type Child, type Scope } from '../../../system/index.js'
import { carry } from '../../process/network.js'

/** Of the bridge, and of slirp4netns's device. */
export const BRIDGE = 'way'
const CARRIED = 'tap0'

/**
 * @param init a process in the machine's namespaces, as seen from here
 * @returns what carries; it ends with the namespace
 * @throws ThawError ENGINE_MISSING, ENGINE_FAILED
 */
export async function openWayOut(init: number, scope: Scope): Promise<Child> {
  const user = process.geteuid?.() !== 0
  const carrier = await carry(init, user, scope, 'bare')
  try {
    const inside = [
      'nsenter',
      `--target=${init}`,
      ...(user ? ['--user', '--preserve-credentials'] : []),
      '--net',
    ]
    const argv = [...inside, 'ip', 'link', 'set', CARRIED, 'up', 'master', BRIDGE]
    const child = await startProcess(argv, { cwd: '/', stdio: ['ignore', 'ignore', 'ignore'] }, scope)
    const { code } = await within(scope, 'bridging the network', child.exited)
    if (code !== 0)
      throw new ThawError('ENGINE_FAILED', `The machine's network could not be bridged (${code}).`)
    return carrier
  } catch (error) {
    await carrier.end()
    throw error
  }
}
