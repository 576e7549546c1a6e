/** Machines for tests: the tools and a root file system are fetched once, and lie in thaw's cache from then on. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ImageDefinitionInput, Instance } from '@thaw/protocol'
import { ProcessGroup } from '../../packages/thaw/src/engines/process/group.js'
import { makeDisk } from '../../packages/thaw/src/engines/vm/disks.js'
import type { Guest } from '../../packages/thaw/src/engines/vm/guest/guest.js'
import type { VmImage } from '../../packages/thaw/src/engines/vm/image.js'
import { makeRoot } from '../../packages/thaw/src/engines/vm/root.js'
import { VmToolsProvider } from '../../packages/thaw/src/engines/vm/tools.js'
import { VmEngine, type VmBranch } from '../../packages/thaw/src/engines/vm/vm.js'
import {
  removeTree,
  openScope,
  startProcess,
  findPaths,
  ThawError,
} from '../../packages/thaw/src/system/index.js'

export const provider = new VmToolsProvider(findPaths().cache)
export const scope = openScope()
export const SHAPE = { memory: 256 * 1024 ** 2, cpus: 1, network: 'none' as const }
const say = (what: string) => console.error(`tests/vm: ${what}`)

/** Why machines cannot be tested here; null when they can. What is missing is fetched. */
export async function whyNot(): Promise<string | null> {
  try {
    await provider.get(say, scope)
    await rootArchive()
    return null
  } catch (error) {
    const { code, message } = ThawError.from(error)
    return `${code}: ${message}`
  }
}

/** A small system with Python. */
export function rootArchive(): Promise<string> {
  return makeRoot(provider, ['python3-minimal'], say, scope)
}

/** An engine with directories of its own, and the disk of the small system. */
export class Bench implements AsyncDisposable {
  readonly engine = new VmEngine(provider, say)
  readonly directory = mkdtempSync(join(tmpdir(), 'thaw-vm-'))
  readonly group = ProcessGroup.open(join(this.directory, 'images'), join(this.directory, 'work'), scope.log)
  readonly disk = join(this.directory, 'disk')
  readonly #branches: VmBranch[] = []

  static async open(): Promise<Bench> {
    const bench = new Bench()
    const root = join(bench.directory, 'root')
    mkdirSync(root)
    const tar = await startProcess(['tar', '-C', root, '-xf', await rootArchive()], { stdio: [] }, scope)
    await tar.exited
    await makeDisk(await provider.get(say, scope), root, bench.disk, scope)
    removeTree(root)
    return bench
  }

  async boot(): Promise<VmBranch> {
    const how = { disk: this.disk, shape: SHAPE, hostname: 'first' }
    return this.keep(await this.engine.launch(this.group, how, scope))
  }

  async restore(image: VmImage, hostname: string): Promise<VmBranch> {
    const listener = { output: () => true }
    return this.keep(await this.engine.restore(this.group, image, { hostname, listener }, scope))
  }

  keep(branch: VmBranch): VmBranch {
    this.#branches.push(branch)
    return branch
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#branches.map((one) => one[Symbol.asyncDispose]()))
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/**
 * Counts who asks, in its memory and on its disk, and draws from a generator that a file has it seed anew. Counts only
 * what was asked, so that a look whether it is ready makes no difference.
 */
const COUNTER = `
import os, random, socket
random.seed(1)
count = 0
server = socket.create_server(('127.0.0.1', 8000))
print('serving', flush=True)
while True:
    connection, _ = server.accept()
    asked = connection.recv(65536)
    if asked:
        count += 1
        with open('/count', 'a') as file: file.write(f'{count} {socket.gethostname()}\\n')
        if os.path.exists('/reseed'):
            random.seed()
            os.remove('/reseed')
        body = f'{count} {random.getrandbits(64)} {socket.gethostname()}'
        head = f'HTTP/1.0 200 OK\\r\\ncontent-length: {len(body)}\\r\\nconnection: close\\r\\n\\r\\n'
        connection.sendall((head + body).encode())
    connection.close()
`

/** A machine with that program. */
export async function counterImage(more: object = {}): Promise<ImageDefinitionInput> {
  return {
    kind: 'rootfs',
    name: 'counter',
    engine: 'vm',
    path: await rootArchive(),
    command: ['python3', '-c', COUNTER],
    ports: [8000],
    limits: { memory: '256MB' },
    readiness: { port: 8000, timeout: 120 },
    after_restore: ['sh', '-c', 'touch /reseed'],
    ...more,
  }
}

export async function askCounter(
  one: Instance,
): Promise<{ count: number; random: string | undefined; host: string | undefined }> {
  const answer = await fetch(`http://127.0.0.1:${one.ports[0]?.host}/`)
  const [count, random, host] = (await answer.text()).split(' ')
  return { count: Number(count), random, host }
}

/** Runs a command in a machine to its end. */
export async function run(
  guest: Guest,
  argv: string[],
  stdin: string | null = null,
): Promise<{ code: number | null; signal: number | null; stdout: string; stderr: string }> {
  const said = { stdout: '', stderr: '' }
  const listener = {
    output(stream: 'stdout' | 'stderr', bytes: Buffer) {
      said[stream] += bytes.toString()
      return true
    },
  }
  const spec = { argv, env: { PATH: '/usr/bin:/bin' }, cwd: '/', user: null, terminal: null, joined: false }
  const program = await guest.start(spec, listener, scope)
  if (stdin !== null) await program.writeStdin(Buffer.from(stdin))
  program.endStdin()
  const exit = await program.exited
  return { ...exit, ...said }
}

/** What a shell says, without the newline. */
export async function shell(guest: Guest, script: string): Promise<string> {
  const { stdout, stderr, code } = await run(guest, ['sh', '-c', script])
  if (code !== 0) throw new Error(`${script}: ${code}, ${stderr}`)
  return stdout.trim()
}

/** Processes of this machine that have a text in their command line. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const file = `/proc/${pid}/cmdline`
      return existsSync(file) && pid !== process.pid && readText(file).includes(text)
    })
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}
