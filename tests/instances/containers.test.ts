/** What is refused before a machine is started for a container; with machines: tests/vm/docker. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ImageDefinition, type Image, type ImageDefinition as Definition } from '@thaw/protocol'
import { dockerMachine } from '../../packages/thaw/src/snapshots/images/docker-machine.js'
import { Api } from '../support/api.js'
import { Home } from '../support/home.js'
import { InstanceBench } from '../support/instances.js'

describe('POST /v1/containers', () => {
  const home = new Home()
  let api: Api
  beforeAll(async () => {
    api = await Api.start(home, { tokens: false })
    mkdirSync(join(home.project, 'root'))
    writeFileSync(join(home.project, 'root', 'file'), 'content')
    await home.json(['image', 'import', 'root', '--name', 'app', 'sh'])
  })
  afterAll(() => home[Symbol.asyncDispose]())
  const create = (body: object) => api.call('POST', '/v1/containers', { body })

  it('says which command makes the machine, where there is none', async () => {
    const { status, json } = await create({ image: 'app', engine: 'vm' })
    expect(status).toBe(404)
    expect(json).toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    expect(json.hint).toContain('thaw image build thaw/docker --docker')
    const named = await create({ image: 'app', engine: 'vm', machine: 'other' })
    expect(named.json).toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    expect(named.text).toContain('There is no image other.')
  })

  it('refuses engines that there are not, and machines that are none', async () => {
    expect((await create({ image: 'app', engine: 'xen' })).json).toMatchObject({ code: 'INVALID_REQUEST' })
    const { status, json, text } = await create({ image: 'app', engine: 'vm', machine: 'app' })
    expect(status).toBe(400)
    expect(json).toMatchObject({ code: 'INVALID_REQUEST' })
    expect(text).toContain('app has no machine that could run a container')
    expect((await api.call('GET', '/v1/containers')).json.items).toEqual([])
  })

  it('is the same on the command line', async () => {
    const made = await home.run(['instance', 'create', 'app', '--container', 'app'])
    expect(made).toMatchObject({ code: 125, stdout: '' })
    expect(made.stderr).toMatch(/INVALID_REQUEST: app has no machine .* --docker/)
    for (const args of [
      ['build', 'x', '--docker', 'sh'],
      ['build', 'x'],
    ]) {
      expect((await home.run(['image', ...args])).stderr).toMatch(/USAGE/)
    }
  })
})

describe('a container’s image', () => {
  const bench = new InstanceBench()
  beforeAll(async () => {
    const { id: _id, ...about } = await bench.command('directory', ['sh'])
    const machine: Image = { ...about, id: 'img_machine', name: 'machine', kind: 'rootfs', engine: 'vm' }
    bench.journal.images.record(machine)
  })
  afterAll(() => bench[Symbol.asyncDispose]())

  it('has to be there, and to have a root file system', async () => {
    await expect(bench.start({ image: 'machine', container: 'nothing' })).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    })
    await expect(bench.start({ image: 'machine', container: 'directory' })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining('no root file system') as string,
    })
    expect(bench.instances.list()).toEqual([])
  })
})

describe('the machine that runs containers', () => {
  const recipe = dockerMachine(ImageDefinition.parse({ kind: 'docker' }) as Definition & { kind: 'docker' })

  it('is an image of packages like any other', () => {
    expect(ImageDefinition.parse(recipe)).toMatchObject({ name: 'thaw/docker', engine: 'vm' })
    const own = ImageDefinition.parse({ kind: 'docker', name: 'own', limits: { memory: '1GB', cpu: 2 } })
    expect(dockerMachine(own as Definition & { kind: 'docker' })).toMatchObject({
      name: 'own',
      limits: { memory: 1e9, cpu: 2, pids: null },
    })
  })

  it('has programs that shell and Perl can read', () => {
    const [, , start = ''] = recipe.command
    execFileSync('sh', ['-n'], { input: start })
    const readiness = recipe.readiness as { command: string[] }
    execFileSync('perl', ['-c', ...readiness.command.slice(1)], { stdio: 'pipe' })
  })
})
