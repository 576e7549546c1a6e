/** Instances of images with a root file system of their own: busybox, and Debian's redis. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Cgroup } from '../../packages/thaw/src/system/index.js'
import { busyboxRoot, InstanceBench, unpackDebian } from '../support/instances.js'
import { whyNot } from '../support/process.js'
import { until } from '../support/home.js'

const why = await whyNot()
const asRoot = process.getuid?.() === 0
const REDIS =
  'redis-server redis-tools libc6 libssl3 libsystemd0 libatomic1 libjemalloc2 liblua5.1-0 lua-cjson lua-bitop liblzf1 libstdc++6 libgcc-s1 libcap2 libgcrypt20 libgpg-error0 liblz4-1 liblzma5 libzstd1 libhiredis0.14 libhiredis1.1.0'
const redis =
  why !== null
    ? null
    : (unpackDebian('redis', REDIS.split(' ')) ??
      unpackDebian(
        'redis-12',
        REDIS.split(' ').filter((name) => name !== 'libhiredis1.1.0'),
      ))
if (why !== null) console.warn(`tests/instances/rootfs.test.ts is skipped: ${why}`)
else if (redis === null) console.warn('the test of redis is skipped: its packages cannot be fetched')

/** What redis answers to commands, each on a line of its own. */
function say(port: number | undefined, ...lines: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: port ?? 0, host: '127.0.0.1' })
    text(socket).then(resolve, reject)
    socket.write([...lines, 'QUIT', ''].join('\r\n'))
  })
}

describe.skipIf(why !== null)('an instance with a root file system', () => {
  let bench: InstanceBench
  let root: string | null
  beforeEach(() => {
    bench = new InstanceBench()
    root = busyboxRoot(join(bench.directory, 'root'))
    if (root === null) console.warn('skipped: busybox-static cannot be fetched')
  })
  afterEach(() => bench[Symbol.asyncDispose]())
  const web = (more: object = {}) =>
    bench.image({
      kind: 'rootfs',
      name: 'web:1',
      path: root ?? '',
      command: ['httpd', '-f', '-p', '8080', '-h', '/srv'],
      env: { PATH: '/bin' },
      ports: [8080],
      readiness: { http: { port: 8080 } },
      ...more,
    })
  const fetched = async (port: number | undefined) => (await fetch(`http://127.0.0.1:${port}/`)).text()

  it('sees nothing of the machine, and changes nothing of the image', async () => {
    if (root === null) return
    const image = await web()
    const one = await bench.start({
      image: 'web:1',
      name: 'one',
      files: [{ path: '/srv/index.html', content: 'own\n' }],
    })
    const two = await bench.start({ image: 'web:1' })
    expect(await fetched(one.ports[0]?.host)).toBe('own\n')
    expect(await fetched(two.ports[0]?.host)).toBe('of the image\n')
    expect((await bench.exec('one', ['ls', '/'])).stdout).toBe('bin\ndev\netc\nproc\nrun\nsrv\nsys\ntmp\n')
    expect((await bench.exec('one', ['hostname'])).stdout).toBe('one\n')
    await bench.instances.writeFile('one', '/etc/deep/file', Readable.from([Buffer.from('x')]), 0o640)
    expect((await bench.exec('one', ['stat', '-c', '%a', '/etc/deep/file'])).stdout).toBe('640\n')
    // Links lead within it, whatever they name.
    await bench.exec('one', ['ln', '-s', '/', '/srv/out'])
    expect(await text((await bench.instances.readFile('one', '/srv/out/etc/passwd')).content)).toContain(
      'web:x:33',
    )
    await bench.instances.writeFile('one', '/srv/out/made', Readable.from([Buffer.from('x')]), 0o600)
    expect(existsSync('/made')).toBe(false)
    expect((await bench.exec('one', ['ls', '/made'])).code).toBe(0)
    expect(readFileSync(join(bench.images.rootOf(image) ?? '', 'srv/index.html'), 'utf8')).toBe(
      'of the image\n',
    )
    expect(existsSync(join(bench.images.rootOf(image) ?? '', 'etc/deep'))).toBe(false)
  })

  it.skipIf(!asRoot)('runs as the user of its image, and others as whom they are asked to', async () => {
    if (root === null) return
    await web({ user: 'web' })
    const { id } = await bench.start({ image: 'web:1' })
    const who = async (user: string | null) =>
      (await bench.exec(id, ['sh', '-c', 'echo $(id -u) $(id -g) $HOME'], { user })).stdout
    expect(await who(null)).toBe('33 44 /srv\n')
    expect(await who('root')).toBe('0 0 /root\n')
    expect(await who('33:0')).toBe('33 0 /srv\n')
    expect((await bench.exec(id, ['grep', '^Uid', '/proc/1000/status'])).stdout).toContain('33')
    await bench.start({ image: 'web:1', name: 'other', user: '33:0' })
    expect((await bench.exec('other', ['id', '-g'])).stdout).toBe('0\n')
    expect((await bench.exec('other', ['grep', '^Gid', '/proc/1000/status'])).stdout).toMatch(/^Gid:\s+0\s/)
    await expect(bench.start({ image: 'web:1', user: 'nobody' })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    })
    await expect(who('nobody')).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    await expect(
      bench
        .image({ kind: 'rootfs', name: 'b', path: root, command: ['true'], user: 'nobody' })
        .then(() => bench.start({ image: 'b' })),
    ).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  })

  it('has limits where the machine can keep them, and says where not', async () => {
    if (root === null) return
    await web({ limits: { memory: '64MB', pids: 12, cpu: 0.5 } })
    const one = await bench.start({ image: 'web:1', name: 'one' })
    const probe = new Cgroup('test-probe', { memory: 64e6, processes: 12, cpus: 0.5 })
    const { missing } = probe
    probe[Symbol.dispose]()
    expect(one.notes).toHaveLength(missing.length)
    expect(bench.instances.stats('one')).toMatchObject({
      source: missing.length === 0 ? 'cgroup' : (expect.any(String) as string),
    })
    if (missing.some((what) => what.startsWith('processes')))
      return console.warn(`not tested: ${missing.join('; ')}`)
    const many = await bench.exec('one', [
      'sh',
      '-c',
      'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do sleep 2 & done; wait',
    ])
    expect(many.stderr).toMatch(/can't fork/)
    // Its own limits, and the image's where it has none.
    const two = await bench.start({ image: 'web:1', name: 'two', limits: { memory: '32MB', pids: 40 } })
    expect(two.limits).toEqual({ cpu: 0.5, memory: 32e6, pids: 40 })
    const fits = (size: number) => ['sh', '-c', `dd if=/dev/zero of=/dev/null bs=${size}M count=1`]
    expect((await bench.exec('two', fits(8))).code).toBe(0)
    if (!missing.some((what) => what.startsWith('memory'))) {
      expect(await bench.exec('two', fits(60))).toMatchObject({ signal: 'SIGKILL' })
    }
    const burn = 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'
    expect(await bench.exec('two', ['sh', '-c', `${burn} & ${burn}; wait`])).toMatchObject({ code: 0 })
  })

  it.skipIf(redis === null)(
    'redis: a clone goes on with its memory and files, apart from the original',
    async () => {
      const path = join(bench.directory, 'redis')
      mkdirSync(path)
      const { spawnSync } = await import('node:child_process')
      spawnSync('cp', ['-a', `${redis}/.`, path])
      mkdirSync(join(path, 'data'))
      writeFileSync(join(path, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\n')
      await bench.image({
        kind: 'rootfs',
        name: 'redis',
        path,
        command: ['/usr/bin/redis-server', '--dir', '/data', '--appendonly', 'yes', '--save', ''],
        ports: [6379],
        readiness: { command: ['/usr/bin/redis-cli', 'ping'] },
        env: { LC_ALL: 'C' },
      })
      const one = await bench.start({ image: 'redis', name: 'one' })
      const port = (instance: { ports: { host: number }[] } | undefined) => instance?.ports[0]?.host
      expect(await say(port(one), 'SET colour red', 'GET colour')).toBe('+OK\r\n$3\r\nred\r\n+OK\r\n')
      const [two, three] = await bench.fork('one', { count: 2 })
      expect(await say(port(two), 'GET colour', 'SET colour blue')).toBe('$3\r\nred\r\n+OK\r\n+OK\r\n')
      expect(await say(port(three), 'GET colour', 'INCR n')).toBe('$3\r\nred\r\n:1\r\n+OK\r\n')
      expect(await say(port(one), 'GET colour', 'INCR n')).toBe('$3\r\nred\r\n:1\r\n+OK\r\n')
      const kept = await bench.instances.checkpoint(two?.id ?? '', { name: 'blue', tcp: null })
      await bench.instances.remove(two?.id ?? '', { force: true, cascade: true }).catch(() => {})
      expect(kept.bytes).toBeGreaterThan(1000)
      const aof = async (id: string | undefined) =>
        (await bench.exec(id ?? '', ['/usr/bin/redis-cli', 'config', 'get', 'appendonly'])).stdout
      expect(await aof(three?.id)).toBe('appendonly\nyes\n')
      await until('it is written', async () =>
        (await bench.exec('one', ['/usr/bin/redis-cli', 'dbsize'])).stdout.includes('2'),
      )
    },
  )
})
