/** The way out of a sandbox with a network of its own. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { startProcess, ThawError, within, type Child, type Scope } from '../../system/index.js'

const START_TIMEOUT = 5000

/** A program that carries a sandbox's packets in user space: slirp4netns, or pasta; null where neither is installed. */
export function findCarrier(): { name: 'slirp4netns' | 'pasta'; path: string } | null {
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/bin', '/usr/local/bin']
  for (const name of ['slirp4netns', 'pasta'] as const) {
    const path = directories
      .map((one) => join(one, name))
      .find((one) => one.startsWith('/') && existsSync(one))
    if (path !== undefined) return { name, path }
  }
  return null
}

/** Name servers inside of slirp4netns's network; pasta passes the machine's through. */
export const CARRIED_NAMES = 'nameserver 10.0.2.3\n'

/**
 * Connects a sandbox's network to the outside. The carrier ends with what this returns, or with the daemon.
 *
 * @param init PID 1 of the sandbox, as seen from here
 * @param user whether the sandbox is in a user namespace
 * @param device `configured` for the sandbox's own programs; `bare` to be bridged, which only slirp4netns can give
 * @throws ThawError ENGINE_MISSING, ENGINE_FAILED
 */
export async function carry(
  init: number,
  user: boolean,
  scope: Scope,
  device: 'configured' | 'bare' = 'configured',
): Promise<Child> {
  const carrier = findCarrier()
  if (device === 'bare' && carrier?.name !== 'slirp4netns') {
    throw new ThawError(
      'ENGINE_MISSING',
      'A machine with a way out needs slirp4netns, which is not installed.',
      {
        hint: 'Install it (on Debian: apt-get install slirp4netns), or give the machine no network.',
      },
    )
  }
  if (carrier === null) {
    throw new ThawError(
      'ENGINE_MISSING',
      'A private network with a way out needs slirp4netns or pasta; neither is installed.',
      {
        hint: 'Install one (on Debian: apt-get install slirp4netns), or use --net private or --net host.',
      },
    )
  }
  const lasting: Scope = { signal: new AbortController().signal, log: scope.log }
  return carrier.name === 'pasta'
    ? await pasta(carrier.path, init, lasting)
    : await slirp(carrier.path, init, user, device, scope, lasting)
}

async function slirp(
  path: string,
  init: number,
  user: boolean,
  device: 'configured' | 'bare',
  scope: Scope,
  lasting: Scope,
): Promise<Child> {
  const options = ['--mtu=65520', '--disable-host-loopback', '--ready-fd=3', '--exit-fd=4']
  if (device === 'configured') options.push('--configure')
  const userspace = user ? [`--userns-path=/proc/${init}/ns/user`] : []
  const argv = [path, ...options, ...userspace, '--netns-type=path', `/proc/${init}/ns/net`, 'tap0']
  const child = await startProcess(
    argv,
    { cwd: '/', stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] },
    lasting,
  )
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-1000)))
  const ready = new Promise<void>((resolve, reject) => {
    child.pipe(3).once('data', () => resolve())
    void child.exited.then(() =>
      reject(new ThawError('ENGINE_FAILED', `slirp4netns ended (${said.trim()}).`)),
    )
  })
  try {
    await within({ ...scope, deadline: performance.now() + START_TIMEOUT }, 'connecting the network', ready)
    return child
  } catch (error) {
    await child.end()
    throw error
  }
}

async function pasta(path: string, init: number, lasting: Scope): Promise<Child> {
  const argv = [
    path,
    '--foreground',
    '--config-net',
    '--quiet',
    '--runas',
    '0',
    '-t',
    'none',
    '-u',
    'none',
    '-T',
    'none',
    '-U',
    'none',
    String(init),
  ]
  return await startProcess(argv, { cwd: '/', stdio: ['ignore', 'ignore', 'ignore'] }, lasting)
}
