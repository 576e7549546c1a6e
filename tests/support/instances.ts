/** Images and instances without a daemon, in a directory of their own; and programs from Debian to run in them. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  ForkRequest,
  ImageDefinition,
  InstanceRequest,
  type Image,
  type ImageDefinitionInput,
  type Instance,
  type InstanceRequestInput,
} from '@thaw/protocol'
import type { StreamsSpec } from '../../packages/thaw/src/engines/engine.js'
import { WITHOUT_CARE } from '../../packages/thaw/src/engines/process/keeper.js'
import { ProcessEngine } from '../../packages/thaw/src/engines/process/process.js'
import { VmToolsProvider } from '../../packages/thaw/src/engines/vm/tools.js'
import { VmEngine } from '../../packages/thaw/src/engines/vm/vm.js'
import { Images } from '../../packages/thaw/src/snapshots/images/images.js'
import { Instances } from '../../packages/thaw/src/snapshots/instances/instances.js'
import type { ExecSpec } from '../../packages/thaw/src/snapshots/instances/living.js'
import { Journal } from '../../packages/thaw/src/store/index.js'
import { findPaths, openScope, silentLog } from '../../packages/thaw/src/system/index.js'
import { PIPES, provider } from './process.js'

/** Nothing is fetched unless a machine is asked for. */
export const machines = new VmEngine(new VmToolsProvider(findPaths().cache))

export class InstanceBench implements AsyncDisposable {
  readonly directory = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-instances-')))
  readonly project = join(this.directory, 'project')
  readonly journal = new Journal(join(this.directory, 'journal.db'))
  readonly images = new Images(this.journal, join(this.directory, 'images'), machines, silentLog)
  readonly scope = openScope()
  instances = this.open()

  constructor() {
    // As the daemon's.
    process.umask(0o077)
    mkdirSync(this.project)
  }

  open(): Instances {
    const { journal, images, directory } = this
    return new Instances({
      journal,
      images,
      engine: new ProcessEngine(provider),
      machines,
      care: WITHOUT_CARE,
      directory: join(directory, 'instances'),
      log: silentLog,
    })
  }

  image(definition: ImageDefinitionInput): Promise<Image> {
    return this.images.create(ImageDefinition.parse(definition), this.scope)
  }

  /** A command in the project's directory. */
  command(name: string, command: string[], more: object = {}): Promise<Image> {
    return this.image({ kind: 'directory', name, path: this.project, command, ...more })
  }

  async start(request: InstanceRequestInput): Promise<Instance> {
    return await this.instances.create(InstanceRequest.parse(request), this.scope).ready
  }

  fork(id: string, request: object = {}): Promise<Instance[]> {
    return this.instances.fork(id, ForkRequest.parse(request), this.scope)
  }

  async exec(id: string, command: string[], more: Partial<ExecSpec> = {}, input: string | null = null) {
    let [stdout, stderr] = ['', '']
    const listener = {
      output(stream: 'stdout' | 'stderr', bytes: Buffer) {
        if (stream === 'stdout') stdout += bytes.toString()
        else stderr += bytes.toString()
        return true
      },
    }
    const streams: StreamsSpec = { ...PIPES, stdin: input === null ? 'null' : 'stream' }
    const spec: ExecSpec = { command, env: {}, cwd: null, user: null, streams, ...more, listener }
    const entered = await this.instances.exec(id, spec, this.scope)
    if (input !== null) {
      await entered.writeStdin(Buffer.from(input))
      entered.endStdin()
    }
    const exit = await entered.exited
    return { ...exit, stdout, stderr }
  }

  async logs(id: string): Promise<string> {
    let text = ''
    for await (const { bytes } of this.instances.logs(id, false)) text += bytes.toString()
    return text
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.instances[Symbol.asyncDispose]()
    this.journal[Symbol.dispose]()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

const DEBIAN = join(tmpdir(), 'thaw-test-debian')

/** A directory with the content of Debian packages, fetched once; null where they cannot be had. */
export function unpackDebian(name: string, packages: readonly string[]): string | null {
  const directory = join(DEBIAN, name)
  const root = join(directory, 'root')
  if (existsSync(join(directory, 'whole'))) return root
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(root, { recursive: true })
  if (spawnSync('apt-get', ['download', ...packages], { cwd: directory }).status !== 0) return null
  for (const file of readdirSync(directory).filter((one) => one.endsWith('.deb'))) {
    if (spawnSync('dpkg-deb', ['-x', join(directory, file), root]).status !== 0) return null
  }
  writeFileSync(join(directory, 'whole'), '')
  return root
}

/** A root file system of one static program, with a few users; null where it cannot be had. */
export function busyboxRoot(directory: string): string | null {
  const unpacked = unpackDebian('busybox', ['busybox-static'])
  const program =
    unpacked === null
      ? null
      : [join(unpacked, 'bin/busybox'), join(unpacked, 'usr/bin/busybox')].find(existsSync)
  if (program === null || program === undefined) return null
  mkdirSync(join(directory, 'bin'), { recursive: true })
  mkdirSync(join(directory, 'etc'))
  mkdirSync(join(directory, 'srv'))
  cpSync(program, join(directory, 'bin/busybox'))
  const names = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n')
  for (const name of names) if (name !== 'busybox') symlinkSync('busybox', join(directory, 'bin', name))
  writeFileSync(
    join(directory, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:web:/srv:/bin/sh\n',
  )
  writeFileSync(join(directory, 'etc/group'), 'root:x:0:\nweb:x:44:\n')
  writeFileSync(join(directory, 'srv/index.html'), 'of the image\n')
  spawnSync('chmod', ['-R', 'go+rX', directory])
  return directory
}

const PYTHON =
  'python3-minimal python3.11-minimal python3.11 libpython3.11-minimal libpython3.11-stdlib libc6 libexpat1 zlib1g libssl3 libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1 libncursesw6 libtinfo6 libreadline8 libcrypt1 libtirpc3 libnsl2 libdb5.3'

/** A root file system of Debian 12's Python and a shell; null where it cannot be had. */
export function pythonRoot(): string | null {
  const root = unpackDebian('python', [...PYTHON.split(' '), 'busybox-static'])
  if (root === null) return null
  const busybox = ['bin/busybox', 'usr/bin/busybox'].find((name) => existsSync(join(root, name)))
  for (const name of ['sh', 'cat', 'sleep']) {
    const link = join(root, 'bin', name)
    if (!existsSync(link) && busybox !== undefined) symlinkSync(`/${busybox}`, link)
  }
  return root
}

const REDIS =
  'redis-server redis-tools libc6 libssl3 libsystemd0 libatomic1 libjemalloc2 liblua5.1-0 lua-cjson lua-bitop liblzf1 libstdc++6 libgcc-s1 libcap2 libgcrypt20 libgpg-error0 liblz4-1 liblzma5 libzstd1 libhiredis0.14'

/** A root file system of Debian 12's redis, without a shell; null where it cannot be had. */
export function redisRoot(): string | null {
  return unpackDebian('redis-12', REDIS.split(' '))
}
