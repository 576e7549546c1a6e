/** The files of deploy/ that bring machines up: their syntax. Nothing here starts a machine. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { root } from '../support/home.js'

const textOf = (name: string) => readFileSync(join(root, 'deploy', name), 'utf8')

/** Shell that `sh` or `bash` could run. */
function isShell(shell: string, script: string): void {
  const done = spawnSync(shell, ['-n'], { input: script, encoding: 'utf8' })
  expect({ status: done.status, stderr: done.stderr }).toEqual({ status: 0, stderr: '' })
}

const cloudInit = spawnSync('cloud-init', ['--version']).status === 0
if (!cloudInit) console.warn('the schema of cloud-init is not asked: cloud-init is not installed')

// Debian: apt-get install cloud-init.
it.skipIf(!cloudInit)('cloud-init finds nothing wrong with its file', () => {
  const argv = ['schema', '--annotate', '--config-file', join(root, 'deploy', 'cloud-init.yaml')]
  const done = spawnSync('cloud-init', argv, { encoding: 'utf8' })
  expect(done.stdout + done.stderr).toMatch(/^Valid (cloud-config|schema)/m)
  expect(done.status).toBe(0)
})

it('what cloud-init writes and runs is shell, and names files that are there', () => {
  const file = parse(textOf('cloud-init.yaml')) as {
    write_files: { path: string; content: string; permissions?: string }[]
    runcmd: string[][]
  }
  const program = file.write_files.find(({ permissions }) => permissions === '0755')
  expect(file.runcmd).toEqual([[program?.path]])
  isShell('sh', program?.content ?? '(')
  const [, unit = ''] = /install -m 0644 -o thaw -g thaw (\S+)/.exec(program?.content ?? '') ?? []
  expect(existsSync(join(root, unit))).toBe(true)
})

/** As SkyPilot's reference has them; it refuses others (docs.skypilot.co/en/latest/reference/yaml-spec.html). */
const FIELDS = [
  'name',
  'workdir',
  'num_nodes',
  'resources',
  'envs',
  'secrets',
  'volumes',
  'file_mounts',
  'setup',
  'run',
]
const RESOURCES = [
  'infra',
  'accelerators',
  'cpus',
  'memory',
  'instance_type',
  'use_spot',
  'disk_size',
  'disk_tier',
]
const MORE = ['network_tier', 'image_id', 'ports', 'labels', 'autostop', 'any_of', 'ordered', 'job_recovery']

it("SkyPilot's task has its fields only, and its commands are shell", () => {
  const task = parse(textOf('skypilot.yaml')) as Record<string, object> & { setup: string; run: string }
  expect(FIELDS).toEqual(expect.arrayContaining(Object.keys(task)))
  expect([...RESOURCES, ...MORE]).toEqual(expect.arrayContaining(Object.keys(task['resources'] ?? {})))
  isShell('bash', task.setup)
  isShell('bash', task.run)
})

it('neither names a version of Node that thaw does not take', () => {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    engines: { node: string }
  }
  const { envs } = parse(textOf('skypilot.yaml')) as { envs: { NODE_VERSION: string } }
  const numbers = (version: string) => version.replace('>=', '').split('.').map(Number)
  const [least, named] = [numbers(engines.node), numbers(envs.NODE_VERSION)]
  expect(named[0]).toBe(least[0])
  expect((named[1] ?? 0) * 1000 + (named[2] ?? 0)).toBeGreaterThanOrEqual(
    (least[1] ?? 0) * 1000 + (least[2] ?? 0),
  )
})
