/**
 * `npm run docker-machine`: containers in a machine, cold and in a copy: how long each step takes. Writes the figures
 * into the page that THAW_PAGE names.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { ImageDefinition } from '@thaw/protocol'
import { makeDisk } from '../../../packages/thaw/src/engines/vm/disks.js'
import { Container } from '../../../packages/thaw/src/engines/vm/docker/container.js'
import { Guest } from '../../../packages/thaw/src/engines/vm/guest/guest.js'
import { findAccelerator } from '../../../packages/thaw/src/engines/vm/probe.js'
import { QemuMonitor } from '../../../packages/thaw/src/engines/vm/qemu/qemu.js'
import { makeRoot } from '../../../packages/thaw/src/engines/vm/root.js'
import { dockerMachine } from '../../../packages/thaw/src/snapshots/images/docker-machine.js'
import { PATH } from '../../../packages/thaw/src/snapshots/images/images.js'
import { openScope, removeTree, startProcess } from '../../../packages/thaw/src/system/index.js'
import { busyboxRoot } from '../../support/instances.js'
import { provider } from '../../support/vm.js'

const scope = openScope()
const directory = mkdtempSync(join(tmpdir(), 'thaw-docker-'))
const at = (name: string) => {
  mkdirSync(join(directory, name))
  return join(directory, name)
}
const definition = ImageDefinition.parse({ kind: 'docker' })
if (definition.kind !== 'docker') throw new Error('no recipe')
const recipe = dockerMachine(definition)
const shape = { memory: recipe.limits?.memory ?? 0, cpus: 1, network: 'none' } as const
const readiness = recipe.readiness as { command: string[] }

type Column = 'cold' | 'copy'
const figures = new Map<string, Partial<Record<Column, number>>>()
async function timed<T>(step: string, column: Column, work: () => Promise<T>): Promise<T> {
  const began = performance.now()
  const result = await work()
  const seconds = (performance.now() - began) / 1000
  figures.set(step, { ...figures.get(step), [column]: seconds })
  console.log(`${column}: ${step}: ${seconds.toFixed(1)} s`)
  return result
}

/** Starts a program in the machine itself; resolves with its exit code. */
async function run(guest: Guest, argv: readonly string[]): Promise<number | null> {
  const spec = { argv, env: { PATH }, cwd: '/', user: null, terminal: null, joined: false }
  const program = await guest.start(spec, { output: () => true }, scope)
  program.endStdin()
  return (await program.exited).code
}

async function answers(guest: Guest): Promise<void> {
  while ((await run(guest, readiness.command)) !== 0) await new Promise((resolve) => setTimeout(resolve, 200))
}

/** From the files of an image to the end of a container. */
async function container(guest: Guest, column: Column): Promise<void> {
  const one = new Container(guest)
  const argv = ['echo', 'from a container']
  const limits = { memory: null, cpu: null, pids: null }
  let said = ''
  await timed('an image of 2 MB is loaded', column, () => one.load(Readable.from([image]), scope))
  await timed('a container is made', column, () =>
    one.create({ argv, env: { PATH }, cwd: '/', user: null, limits }, scope),
  )
  const listener = {
    output(_stream: string, bytes: Buffer) {
      said += bytes.toString()
      return true
    },
  }
  await timed('it runs, from its start to its end', column, async () => {
    await one.start(argv, listener, scope)
    await one.exited
  })
  if (said !== 'from a container\n') throw new Error(`The container said ${JSON.stringify(said)}.`)
}

function page(accelerator: string, snapshot: number): string {
  const seconds = (value: number | undefined) => (value === undefined ? '–' : `${value.toFixed(1)} s`)
  const sum = (column: Column) => [...figures.values()].reduce((all, one) => all + (one[column] ?? 0), 0)
  const load = loadavg().map((one) => one.toFixed(1))
  return [
    `Debian 13’s Docker in a machine of one processor and ${shape.memory >> 20} MB, by ${accelerator}; ${cpus().length} processors, load ${load[0]} in the last minute and ${load[2]} in the last 15; ${new Date().toISOString().slice(0, 10)}.`,
    '',
    '| step | cold | in a copy |',
    '|---|---|---|',
    ...[...figures].map(([step, { cold, copy }]) => `| ${step} | ${seconds(cold)} | ${seconds(copy)} |`),
    `| **all of it** | **${seconds(sum('cold'))}** | **${seconds(sum('copy'))}** |`,
    '',
    `The snapshot, with the engine up, the machine going on: ${seconds(snapshot)}, once.`,
  ].join('\n')
}

const busybox = busyboxRoot(at('busybox'))
if (busybox === null) throw new Error('busybox cannot be fetched')
const image = execFileSync('tar', ['-C', busybox, '--numeric-owner', '-c', '.'], { maxBuffer: 1 << 28 })
try {
  const tools = await provider.get(console.error, scope)
  const accelerator = await findAccelerator(tools, provider.directory, scope)
  const root = at('root')
  const archive = await makeRoot(provider, recipe.packages, console.error, scope)
  await (
    await startProcess(['tar', '-C', root, '-xf', archive], { stdio: [] }, scope)
  ).exited
  const disk = join(directory, 'disk')
  await makeDisk(tools, root, disk, scope)
  removeTree(root)

  const monitor = new QemuMonitor(tools, accelerator.name)
  const spec = { shape, kernel: await tools.kernel(), disk, directory: at('first') }
  const started = async () => {
    const machine = await monitor.start(spec, scope)
    const guest = new Guest(machine.channel)
    await guest.booted(scope)
    await guest.renew({ hostname: 'docker', network: null }, scope)
    return { machine, guest }
  }
  const { machine, guest } = await timed('the machine boots, or is restored', 'cold', started)
  await timed('the engine answers', 'cold', async () => {
    void run(guest, recipe.command)
    await answers(guest)
  })
  const snapshot = at('snapshot')
  const began = performance.now()
  await guest.hold(scope)
  await machine.pause(scope)
  await machine.save(snapshot, { stop: false }, scope)
  const saved = (performance.now() - began) / 1000
  await machine.resume(scope)
  await guest.goOn(scope)
  await container(guest, 'cold')
  await machine[Symbol.asyncDispose]()

  const restored = async () => {
    const copy = await monitor.restore({ shape, snapshot, directory: at('copy') }, scope)
    const own = new Guest(copy.channel, guest.lines)
    await copy.resume(scope)
    await own.renew({ hostname: 'copy', network: null }, scope)
    return { copy, own }
  }
  const { copy, own } = await timed('the machine boots, or is restored', 'copy', restored)
  await timed('the engine answers', 'copy', () => answers(own))
  await container(own, 'copy')
  await copy[Symbol.asyncDispose]()

  const text = page(accelerator.name === 'kvm' ? 'KVM' : 'emulation (TCG)', saved)
  console.log(`\n${text}`)
  const file = process.env['THAW_PAGE']
  if (file !== undefined) {
    const whole = readFileSync(file, 'utf8')
    const between = /(<!-- figures -->\n)[^]*(<!-- end of figures -->)/
    if (!between.test(whole)) throw new Error(`${file} has no place for figures.`)
    writeFileSync(
      file,
      whole.replace(between, (_, start: string, end: string) => `${start}\n${text}\n\n${end}`),
    )
  }
} finally {
  rmSync(directory, { recursive: true, force: true })
}
