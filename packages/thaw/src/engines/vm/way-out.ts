/**
 * A machine's way out: slirp4netns carries packets in user space, with the host's own loopback closed. Its device and
 * the machine's are ports of one bridge in the machine's network namespace. So the guest has the addresses that
 * slirp4netns gives (10.0.2.0/24, gateway .2, names .3), the same in every clone, and nothing is translated.
 */
import { startProcess, ThawError, within, type Child, type Scope } from '../../system/index.js'
import { carry } from '../process/network.js'

/** The host's end of the guest's network card. Every machine has a network namespace, so all have the same name. */
export const TAP = 'guest0'
/** The same in every clone, each of which is alone in its network. */
export const GUEST_MAC = '52:54:00:12:34:56'
/** Any address that slirp4netns does not use itself. */
export const GUEST_NETWORK = { address: '10.0.2.15', gateway: '10.0.2.2', names: '10.0.2.3' } as const
/** Of the bridge, and of slirp4netns's device. */
const BRIDGE = 'way'
const CARRIED = 'tap0'

/**
 * PID 1 of the machine's namespaces: when it goes, the kernel ends the monitor and takes the tap device with the
 * network, whoever was killed. `$0` is the network.
 */
const INSIDE = `
case "$0" in
  tap)
    ip tuntap add name ${TAP} mode tap && ip link add name ${BRIDGE} type bridge &&
      ip link set ${TAP} up master ${BRIDGE} && ip link set ${BRIDGE} up || exit 70
    ;;
esac
"$@"
exit $?`

/** Command line of a monitor in namespaces of its own: network, with a tap device where there is a network, and pids. */
export function inNamespaces(network: 'none' | 'tap', argv: readonly string[]): string[] {
  const user = process.geteuid?.() === 0 ? [] : ['--user', '--map-root-user']
  const apart = ['/usr/bin/env', 'unshare', ...user, '--net', '--pid', '--fork', '--kill-child=KILL']
  return [...apart, '/bin/sh', '-c', INSIDE, network, ...argv]
}

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
