/** `npm run docker-machine`: containers in a machine, from packages to a container in a copy; prints how long each step took. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeDisk } from '../../../packages/thaw/src/engines/vm/disks.js'
import { Guest } from '../../../packages/thaw/src/engines/vm/guest/guest.js'
import { findPlatform } from '../../../packages/thaw/src/engines/vm/probe.js'
import { QemuMonitor } from '../../../packages/thaw/src/engines/vm/qemu/qemu.js'
import { makeRoot } from '../../../packages/thaw/src/engines/vm/root.js'
import { openScope, removeTree, startProcess } from '../../../packages/thaw/src/system/index.js'
import { provider, shell } from '../../support/vm.js'

/** The distribution's own engine. Its client is a package apart from Debian 13 on. */
const PACKAGES = ['docker.io', 'docker-cli', 'procps', 'python3-minimal']
const MIB = 1 << 20
const SHAPE = { memory: 768 * MIB, cpus: 1, network: 'none' } as const

/**
 * Starts the engine without systemd. No module of the kernel is needed so: no bridge, no rules for packets, layers as
 * copies. The shell ends when the engine answers.
 */
const START = `
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
containerd >/var/log/containerd.log 2>&1 </dev/null &
dockerd --containerd=/run/containerd/containerd.sock --bridge=none --iptables=false --ip6tables=false \\
  --storage-driver=vfs --exec-opt native.cgroupdriver=cgroupfs >/var/log/dockerd.log 2>&1 </dev/null &
for i in $(seq 600); do docker info >/dev/null 2>&1 && exit 0; sleep 0.5; done
tail -5 /var/log/dockerd.log >&2; exit 1`

/** A container image of a shell, from the machine's own files, as \`docker load\` would bring another. */
const IMPORT = `
tar -C / -c bin lib lib64 usr/bin/dash usr/bin/sh usr/lib64 usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 \\
  usr/lib/x86_64-linux-gnu/libc.so.6 | docker import - tiny`

const RUN = 'docker run --rm --network none tiny sh -c "echo from a container"'

const scope = openScope()
const directory = mkdtempSync(join(tmpdir(), 'thaw-docker-'))
const at = (name: string) => {
  mkdirSync(join(directory, name))
  return join(directory, name)
}
let began = performance.now()
function took(what: string): void {
  console.log(`| ${what} | ${((performance.now() - began) / 1000).toFixed(1)} s |`)
  began = performance.now()
}

try {
  const tools = await provider.get(console.error, scope)
  const { accelerator, type } = await findPlatform(tools, provider.directory, scope)
  const root = at('root')
  const archive = await makeRoot(provider, PACKAGES, console.error, scope)
  await (
    await startProcess(['tar', '-C', root, '-xf', archive], { stdio: [] }, scope)
  ).exited
  const disk = join(directory, 'disk')
  await makeDisk(tools, root, disk, scope)
  removeTree(root)

  console.log(`| step (${accelerator.name}) | time |\n|---|---|`)
  began = performance.now()
  const monitor = new QemuMonitor(tools, accelerator.name, type)
  const spec = { shape: SHAPE, kernel: await tools.kernel(), disk, directory: at('first') }
  await using machine = await monitor.start(spec, scope)
  const guest = new Guest(machine.channel)
  await guest.booted(scope)
  await guest.renew({ hostname: 'docker', network: null }, scope)
  took('cold: boot of the machine')
  await shell(guest, START)
  took('cold: containerd and dockerd, until they answer')
  await shell(guest, IMPORT)
  took('an image imported')
  await guest.hold(scope)
  await machine.pause(scope)
  const snapshot = at('snapshot')
  await machine.save(snapshot, { stop: true }, scope)
  took('snapshot with the engine up')

  await using copy = await monitor.restore({ shape: SHAPE, snapshot, directory: at('copy') }, scope)
  const own = new Guest(copy.channel)
  await copy.resume(scope)
  await own.renew({ hostname: 'copy', network: null }, scope)
  took('warm: restore of a copy')
  await shell(own, 'docker info >/dev/null')
  took('warm: the engine answers')
  const said = await shell(own, RUN)
  if (said !== 'from a container') throw new Error(`The container said ${JSON.stringify(said)}.`)
  took('warm: a container, from its start to its end')
} finally {
  rmSync(directory, { recursive: true, force: true })
}
